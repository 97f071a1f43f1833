"""A process dies: clients come back by themselves, and go on in their room."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from worldmesh_client import ChatMessage, MemberLeft, Reconnected, ReconnectPolicy, RequestError

from .people import PATIENCE, Person, Places, gather, new_room, person

PERSISTENT = ReconnectPolicy(attempts=40, first_delay=0.05, max_delay=0.5)


async def talk(speaker: Person, listeners: list[Person], text: str) -> None:
    """Says something that all hear."""
    await speaker.client.chat(text)
    for one in listeners:
        await one.until(lambda me: text in [chat.text for chat in me.bodies(ChatMessage)], text)


@pytest.fixture(autouse=True)
def whole_again(world: Any) -> Iterator[None]:
    """Leaves the world as whole as it was."""
    yield
    processes(world)


async def kill(world: Any, name: str) -> None:
    """Kills a process as a crash would, once the world is whole; the supervisor starts it again."""
    pids = await asyncio.to_thread(processes, world)
    os.kill(pids[name], signal.SIGKILL)


def processes(world: Any) -> dict[str, int]:
    """Waits until everything is ready; pids by name."""
    limit = time.monotonic() + 60
    while True:
        try:
            pids: dict[str, int] = world.where["pids"]
            return pids
        except subprocess.CalledProcessError:
            assert time.monotonic() < limit, "the world does not become whole again"
            time.sleep(0.2)


async def test_a_gateway_dies_and_its_clients_come_back_into_their_room(places: Places, world: Any) -> None:
    async with person(places, 0) as ann, person(places, 1, "json", reconnect=PERSISTENT) as bo:
        room = await new_room(ann)
        await gather([ann, bo], room)
        await kill(world, "gateway-1")
        [left] = await ann.hears(MemberLeft)
        assert left.user_id == bo.user_id
        [back] = await bo.hears(Reconnected)
        assert back.close_code == 1006
        assert back.snapshot is not None
        assert {m.user.user_id for m in back.snapshot.members} == {ann.user_id, bo.user_id}
        await talk(bo, [ann, bo], "back")
        await talk(ann, [ann, bo], "welcome")


async def test_a_relay_dies_and_its_room_goes_on_at_another(places: Places, world: Any) -> None:
    async with (
        person(places, 0, reconnect=PERSISTENT) as ann,
        person(places, 1, "json", reconnect=PERSISTENT) as bo,
    ):
        room = await new_room(ann)
        await gather([ann, bo], room)
        before = ann.snapshot.epoch
        # Which relay has the room is the mesh's choice: so each dies in turn, and the other has it meanwhile.
        for number, name in enumerate(("relay-0", "relay-1")):
            await kill(world, name)
            await both_hear(ann, bo, f"message {number}")
        backs = [back for one in (ann, bo) for back in one.bodies(Reconnected)]
        assert backs, "one of the relays had the room"
        assert all(back.close_code is None and back.snapshot is not None for back in backs)
        assert all(back.snapshot.epoch != before for back in backs if back.snapshot is not None)


async def both_hear(ann: Person, bo: Person, text: str) -> None:
    """Says something until both have heard it: while the room moves, it is refused or lost."""
    async with asyncio.timeout(PATIENCE):
        while not all(text in [chat.text for chat in one.bodies(ChatMessage)] for one in (ann, bo)):
            try:
                await ann.client.chat(text)
            except RequestError as e:
                if e.reason not in ("NOT_IN_ROOM", "ROOM_UNAVAILABLE"):
                    raise
            await asyncio.sleep(0.1)
