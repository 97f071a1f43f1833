"""People for end-to-end tests: clients that keep everything they hear, and conditions to wait for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ulid import ULID
from worldmesh_client import (
    NO_RECONNECT,
    ConnectionClosedError,
    DialectName,
    Event,
    MemberJoined,
    Options,
    RoomEvent,
    Snapshot,
    StateBatch,
    Vec3,
    WorldmeshClient,
)
from worldmesh_messages.worldmesh.world.v1 import AccessPolicy, CreateRoomRequest, Room, RoomSettings

B = TypeVar("B")

PATIENCE = 15.0  # seconds that a condition may take on a busy machine; what is late but comes is not lost


@dataclass(frozen=True, slots=True)
class Places:
    """Where the world under test is."""

    rest: str
    """REST, without TLS."""
    edge: str
    """REST with TLS."""
    gateways: tuple[str, ...]
    """Each gateway's own socket address, with TLS."""
    ca: str
    """The certificate authority that signed both."""
    where: Mapping[str, Any]
    """All addresses, as `make where` prints them."""

    def options(self, gateway: int = 0, dialect: DialectName = "flatbuffers", **more: Any) -> Options:
        """A client's options for one gateway."""
        more.setdefault("reconnect", NO_RECONNECT)
        more.setdefault("timeout", PATIENCE)
        url = self.gateways[gateway % len(self.gateways)]
        return Options(dialect=dialect, socket_url=url, ca=self.ca, **more)


class Person:
    """A client in the world, and all that it heard."""

    def __init__(self, client: WorldmeshClient) -> None:
        self.client = client
        self.snapshot = Snapshot("")
        self.heard: list[Event] = []
        self.where: dict[int, Vec3] = {}
        self.end: ConnectionClosedError | None = None
        self._news = asyncio.Condition()
        self._listener = asyncio.create_task(self._listen())

    @property
    def name(self) -> str:
        """The username."""
        return self.client.account.username

    @property
    def user_id(self) -> str:
        """The account's id."""
        return self.client.user_id

    async def join(self, room_id: str) -> Snapshot:
        """Enters a room."""
        self.snapshot = await self.client.join(room_id)
        self.where |= {m.state.entity: m.state.position for m in self.snapshot.members}
        return self.snapshot

    def events(self) -> list[RoomEvent]:
        """The ordered channel as it was heard."""
        return [event for event in self.heard if isinstance(event, RoomEvent)]

    def bodies(self, kind: type[B]) -> list[B]:
        """What was heard of one kind, in order: bodies of room events, or events themselves."""
        things = (event.body if isinstance(event, RoomEvent) else event for event in self.heard)
        return [thing for thing in things if isinstance(thing, kind)]

    async def until(self, condition: Callable[[Person], bool], what: str) -> None:
        """Waits until a condition of this person holds; it is looked at whenever something is heard."""
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(lambda: condition(self)), PATIENCE)
            except TimeoutError:
                raise AssertionError(f"{self.name} did not hear {what}; heard {self.heard[-5:]}") from None

    async def hears(self, kind: type[B], count: int = 1) -> list[B]:
        """Waits for so many things of a kind."""
        await self.until(lambda me: len(me.bodies(kind)) >= count, f"{count} × {kind.__name__}")
        return self.bodies(kind)

    async def closed(self) -> ConnectionClosedError:
        """Waits for the socket's end."""
        await self.until(lambda me: me.end is not None, "the end of its socket")
        assert self.end is not None
        return self.end

    async def close(self) -> None:
        """Says goodbye."""
        await self.client.close()
        await self._listener

    async def _listen(self) -> None:
        try:
            async for event in self.client.events():
                await self._hear(event)
        except ConnectionClosedError as e:
            async with self._news:
                self.end = e
                self._news.notify_all()

    async def _hear(self, event: Event) -> None:
        async with self._news:
            self.heard.append(event)
            if isinstance(event, StateBatch):
                self.where |= {state.entity: state.position for state in event.states}
            self._news.notify_all()


@asynccontextmanager
async def person(
    places: Places, gateway: int = 0, dialect: DialectName = "flatbuffers", **more: Any
) -> AsyncIterator[Person]:
    """A new guest, connected."""
    client = await WorldmeshClient.guest(places.rest, options=places.options(gateway, dialect, **more))
    async with client:
        somebody = Person(client)
        try:
            yield somebody
        finally:
            await somebody.close()


@asynccontextmanager
async def people(places: Places, count: int) -> AsyncIterator[list[Person]]:
    """New guests, by turns on each gateway and in each dialect, so that all combinations are there."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(person(places, i // 2, "json" if i % 2 else "flatbuffers"))
            for i in range(count)
        ]


async def new_room(
    owner: Person,
    *,
    capacity: int = 50,
    access_policy: AccessPolicy = AccessPolicy.PUBLIC,
    settings: RoomSettings | None = None,
) -> str:
    """Makes a room over the owner's socket and returns its id."""
    room = Room(
        display_name=f"Test {secrets.token_hex(4)}",
        capacity=capacity,
        access_policy=access_policy,
        settings=settings,
    )
    answer = await owner.client.call(CreateRoomRequest(room=room, request_id=str(ULID())))
    room_id: str = answer.room.room_id
    return room_id


async def gather(everybody: Sequence[Person], room_id: str) -> None:
    """All enter, and all know of all."""
    await asyncio.gather(*(one.join(room_id) for one in everybody))
    ids = {one.user_id for one in everybody}
    for one in everybody:
        await one.until(lambda me: _known(me) >= ids, "of everybody")


def _known(one: Person) -> set[str]:
    known = {m.user.user_id for m in one.snapshot.members}
    return known | {joined.member.user.user_id for joined in one.bodies(MemberJoined)}
