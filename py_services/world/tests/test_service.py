"""World as callers see it: the real server, the real database, both drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from worldmesh.world.v1 import world_service_pb2 as pb
from worldmesh.world.v1.world_service_pb2_grpc import WorldServiceStub
from worldmesh_kit import PageTokens, new_id
from worldmesh_kit.testing import headers, reason, running, service_settings
from worldmesh_world.app import build
from worldmesh_world.config import Settings

ANN, BEN = headers(user_id="usr_ann"), headers(user_id="usr_ben")


@pytest_asyncio.fixture(params=["pymongo", "motor"])
async def world(request: pytest.FixtureRequest, mongo_uri: str, tls_dir: Path) -> AsyncIterator[WorldServiceStub]:
    settings = Settings(
        **service_settings("world", tls_dir),  # type: ignore[arg-type]
        mongo_uri=mongo_uri,
        mongo_driver=request.param,
        mongo_database=new_id("world"),
        world_rooms=3,
    )
    async with running(settings, build, tls_dir) as up:
        yield WorldServiceStub(up.channel)


async def make(world: WorldServiceStub, name: str = "A", **fields: object) -> pb.Room:
    request = pb.CreateRoomRequest(room=pb.Room(display_name=name, **fields), request_id=new_id("req"))  # type: ignore[arg-type]
    return (await world.CreateRoom(request, metadata=ANN)).room


async def test_the_demo_rooms_are_there(world: WorldServiceStub) -> None:
    rooms = (await world.ListRooms(pb.ListRoomsRequest(), metadata=headers())).rooms
    assert {r.room_id for r in rooms} == {"room_plaza", "room_garden", "room_rooftop"}


async def test_a_request_that_comes_fifty_times_makes_one_room(world: WorldServiceStub) -> None:
    request = pb.CreateRoomRequest(room=pb.Room(display_name="Once"), request_id="0123456789abcdef")
    answers = await asyncio.gather(*(world.CreateRoom(request, metadata=ANN) for _ in range(50)))
    assert len({a.SerializeToString() for a in answers}) == 1
    request.room.display_name = "Something else"
    assert await reason(world.CreateRoom(request, metadata=ANN)) == "REQUEST_ID_REUSED"


async def test_of_two_changes_of_one_etag_one_wins(world: WorldServiceStub) -> None:
    room = await make(world)
    calls = [
        world.UpdateRoom(
            pb.UpdateRoomRequest(
                room=pb.Room(room_id=room.room_id, etag=room.etag, display_name=name),
                update_mask=FieldMask(paths=["display_name"]),
            ),
            metadata=ANN,
        )
        for name in ("B", "C")
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    assert [f.code() for f in failed] == [grpc.StatusCode.ABORTED]


async def test_a_private_room_hides_from_those_without_a_role(world: WorldServiceStub) -> None:
    room = await make(world, access_policy=pb.ACCESS_POLICY_PRIVATE)
    get, enter = (
        pb.GetRoomRequest(room_id=room.room_id),
        pb.AuthorizeEntryRequest(room_id=room.room_id, user_id="usr_ben"),
    )
    as_gateway = headers(caller="gateway")
    assert await reason(world.GetRoom(get, metadata=BEN)) == "ROOM_NOT_FOUND"
    assert await reason(world.AuthorizeEntry(enter, metadata=as_gateway)) == "ROOM_NOT_FOUND"
    await world.SetRoomRole(
        pb.SetRoomRoleRequest(room_id=room.room_id, user_id="usr_ben", role=pb.ROOM_ROLE_GUEST), metadata=ANN
    )
    assert (await world.GetRoom(get, metadata=BEN)).room.room_id == room.room_id
    entry = await world.AuthorizeEntry(enter, metadata=as_gateway)
    assert (entry.role, entry.capacity, entry.settings.tick_hz) == (pb.ROOM_ROLE_GUEST, 50, 20)


async def outcome(call: Awaitable[Message]) -> tuple[str, bytes]:
    """All that a caller learns of a call: what fails it, or the answer."""
    try:
        return "", (await call).SerializeToString()
    except grpc.aio.AioRpcError as error:
        return f"{error.code()} {error.details()}", bytes(dict(error.trailing_metadata())["grpc-status-details-bin"])


async def test_nothing_tells_a_private_room_from_one_that_is_not_there(world: WorldServiceStub) -> None:
    private = await make(world, access_policy=pb.ACCESS_POLICY_PRIVATE)

    def attempts(room_id: str) -> list[Awaitable[Message]]:
        room = pb.Room(room_id=room_id, display_name="x", etag="etag")
        roles = [
            pb.SetRoomRoleRequest(room_id=room_id, user_id=user_id, role=role)
            for user_id in ("usr_ann", "usr_ben", "usr_carl")
            for role in (pb.ROOM_ROLE_UNSPECIFIED, pb.ROOM_ROLE_MODERATOR)
        ]
        return [
            world.GetRoom(pb.GetRoomRequest(room_id=room_id), metadata=BEN),
            world.UpdateRoom(pb.UpdateRoomRequest(room=room, update_mask=FieldMask(paths=["nope"])), metadata=BEN),
            world.DeleteRoom(pb.DeleteRoomRequest(room_id=room_id), metadata=BEN),
            world.DeleteRoom(pb.DeleteRoomRequest(room_id=room_id, etag="etag"), metadata=BEN),
            world.ListRoomRoles(pb.ListRoomRolesRequest(room_id=room_id), metadata=BEN),
            world.AuthorizeEntry(pb.AuthorizeEntryRequest(room_id=room_id, user_id="usr_ben")),
            *(world.SetRoomRole(request, metadata=BEN) for request in roles),
        ]

    there = [await outcome(call) for call in attempts(private.room_id)]
    not_there = [await outcome(call) for call in attempts("room_01HZZZZZZZZZZZZZZZZZZZZZZZ")]
    assert there == not_there
    assert (await world.GetRoom(pb.GetRoomRequest(room_id=private.room_id), metadata=ANN)).room == private


async def test_a_room_for_followers_says_that_it_does_not_admit(world: WorldServiceStub) -> None:
    room = await make(world, access_policy=pb.ACCESS_POLICY_FOLLOWERS)
    enter = pb.AuthorizeEntryRequest(room_id=room.room_id, user_id="usr_ben")
    assert await reason(world.AuthorizeEntry(enter, metadata=headers(caller="gateway"))) == "ROOM_ACCESS_DENIED"


async def test_only_owner_and_designers_change_a_room(world: WorldServiceStub) -> None:
    room = await make(world)
    change = pb.UpdateRoomRequest(
        room=pb.Room(room_id=room.room_id, display_name="Ben's"), update_mask=FieldMask(paths=["display_name"])
    )
    assert await reason(world.UpdateRoom(change, metadata=BEN)) == "ROOM_ROLE_REQUIRED"
    designer = pb.SetRoomRoleRequest(room_id=room.room_id, user_id="usr_ben", role=pb.ROOM_ROLE_DESIGNER)
    await world.SetRoomRole(designer, metadata=ANN)
    assert (await world.UpdateRoom(change, metadata=BEN)).room.display_name == "Ben's"
    assert (
        await reason(world.DeleteRoom(pb.DeleteRoomRequest(room_id=room.room_id), metadata=BEN)) == "ROOM_ROLE_REQUIRED"
    )


async def test_pages_hold_every_room_once_in_order(world: WorldServiceStub) -> None:
    made = [(await make(world, f"Room {n}")).room_id for n in range(3)]
    seen, token = [], ""
    while True:
        request = pb.ListRoomsRequest(page_size=1, page_token=token, owner_id="usr_ann")
        page = await world.ListRooms(request, metadata=ANN)
        seen += [r.room_id for r in page.rooms]
        if not (token := page.next_page_token):
            break
    assert seen == made[::-1]


async def test_an_unlisted_room_is_listed_to_its_owner_alone(world: WorldServiceStub) -> None:
    room = await make(world, access_policy=pb.ACCESS_POLICY_UNLISTED)
    mine = pb.ListRoomsRequest(owner_id="usr_ann")
    assert [r.room_id for r in (await world.ListRooms(mine, metadata=ANN)).rooms] == [room.room_id]
    assert list((await world.ListRooms(mine, metadata=BEN)).rooms) == []


async def test_a_token_of_another_list_is_refused(world: WorldServiceStub) -> None:
    page = await world.ListRooms(pb.ListRoomsRequest(page_size=1), metadata=ANN)
    stolen = pb.ListRoomsRequest(page_token=page.next_page_token, name_prefix="the")
    assert await reason(world.ListRooms(stolen, metadata=ANN)) == "INVALID_PAGE_TOKEN"


async def test_a_forged_token_is_refused(world: WorldServiceStub) -> None:
    """Its checksum is good, for it has no key; what it says is no place in the list."""
    room = await make(world)
    filters = {"owner": "", "prefix": "", "own": False}
    token = PageTokens("ListRooms", str, str).make(("yesterday", "room_x"), filters)
    assert await reason(world.ListRooms(pb.ListRoomsRequest(page_token=token), metadata=ANN)) == "INVALID_PAGE_TOKEN"
    token = PageTokens("ListRoomRoles", str).make(("\ud800",), {"room": room.room_id})
    listed = pb.ListRoomRolesRequest(room_id=room.room_id, page_token=token)
    assert await reason(world.ListRoomRoles(listed, metadata=ANN)) == "INVALID_PAGE_TOKEN"


async def test_names_are_found_by_their_beginning_without_regard_to_case(world: WorldServiceStub) -> None:
    found = await world.ListRooms(pb.ListRoomsRequest(name_prefix="the pl"), metadata=ANN)
    assert [r.room_id for r in found.rooms] == ["room_plaza"]


async def test_an_owner_has_a_limit_of_rooms(world: WorldServiceStub) -> None:
    for n in range(3):
        await make(world, f"Room {n}")
    request = pb.CreateRoomRequest(room=pb.Room(display_name="one more"), request_id=new_id("req"))
    assert await reason(world.CreateRoom(request, metadata=ANN)) == "ROOM_LIMIT_REACHED"


async def test_deleting_twice_is_as_deleting_once(world: WorldServiceStub) -> None:
    room = await make(world)
    for _ in range(2):
        await world.DeleteRoom(pb.DeleteRoomRequest(room_id=room.room_id), metadata=ANN)
    assert await reason(world.GetRoom(pb.GetRoomRequest(room_id=room.room_id), metadata=ANN)) == "ROOM_NOT_FOUND"


async def test_the_era_moves_on_once_for_all_who_ask_after_the_same(world: WorldServiceStub) -> None:
    first = (await world.AdvanceEra(pb.AdvanceEraRequest())).era
    answers = await asyncio.gather(*(world.AdvanceEra(pb.AdvanceEraRequest(after=first)) for _ in range(20)))
    assert {a.era for a in answers} == {first + 1}
    assert (await world.AdvanceEra(pb.AdvanceEraRequest())).era == first + 1


async def test_an_answer_for_everybody_names_those_with_a_role(world: WorldServiceStub) -> None:
    public = await make(world)
    await world.SetRoomRole(
        pb.SetRoomRoleRequest(room_id=public.room_id, user_id="usr_mod", role=pb.ROOM_ROLE_MODERATOR),
        metadata=ANN,
    )
    entry = await world.AuthorizeEntry(pb.AuthorizeEntryRequest(room_id=public.room_id, user_id="usr_x"))
    assert entry.shared_for.ToTimedelta().total_seconds() == 2
    assert set(entry.named_user_ids) == {public.owner_id, "usr_mod"}

    private = await make(world, access_policy=pb.ACCESS_POLICY_PRIVATE)
    entry = await world.AuthorizeEntry(pb.AuthorizeEntryRequest(room_id=private.room_id, user_id=private.owner_id))
    assert not entry.HasField("shared_for")
