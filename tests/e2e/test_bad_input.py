"""What clients do wrong: each thing has its stable reason and close code, and nobody else in the room notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from worldmesh_client import ChatMessage, DialectName, RequestError, _fb_encode
from worldmesh_client import _frames as f
from worldmesh_messages.worldmesh.presence.v1 import WatchPresenceRequest
from worldmesh_messages.worldmesh.world.v1 import (
    AccessPolicy,
    AuthorizeEntryRequest,
    GetRoomRequest,
    ListRoomsRequest,
    Room,
    RoomRole,
    SetRoomRoleRequest,
)

from .people import Person, Places, gather, new_room, person
from .raw import Raw, welcomed

BOTH: list[DialectName] = ["flatbuffers", "json"]
INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED = 3, 5, 7
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED = 8, 9, 12


@asynccontextmanager
async def bystanders(places: Places, room_id: str | None = None) -> AsyncIterator[tuple[str, list[Person]]]:
    """Two people who talk in a room while something bad happens; at the end each has heard all, in order."""
    async with person(places, 0) as ann, person(places, 1, "json") as bo:
        room = room_id or await new_room(ann)
        await gather([ann, bo], room)
        await ann.client.chat("before")
        yield room, [ann, bo]
        await bo.client.chat("after")
        for one in (ann, bo):
            await one.until(lambda me: "after" in [chat.text for chat in me.bodies(ChatMessage)], "the other")
            numbers = [event.seq for event in one.events()]
            assert numbers == list(range(one.snapshot.seq + 1, one.snapshot.seq + 1 + len(numbers)))
            assert one.end is None


async def enter(socket: Raw, room: str) -> None:
    await socket.frame(f.Join(room), rid=2)
    assert isinstance((await socket.next()).body, f.Snapshot)


# ------------------------------------------------------------------------------------------ frames that are none


GOOD_CHAT = _fb_encode.encode(f.ClientFrame(1, f.Chat("hi")))
UNKNOWN_KIND = _fb_encode.encode(f.ClientFrame(9, f.Leave()))

MALFORMED: list[tuple[DialectName, bytes | str]] = [
    ("json", ""),
    ("json", "hello"),
    ("json", '{"rid": 1,'),
    ("json", '{"rid": 1}'),
    ("json", "[]"),
    ("json", '"chat"'),
    ("json", '{"rid": "one", "ping": {}}'),
    ("json", '{"rid": -1, "ping": {}}'),
    ("json", '{"rid": 1, "chat": "hi"}'),
    ("json", '{"rid": 1, "chat": {"text": 7}}'),
    ("json", '{"rid": 1, "ping": {}, "leave": {}}'),
    ("json", '{"rid": 1, "move": {}}'),
    ("json", '{"rid": 1, "join": {}}'),
    ("json", '{"rid": 1, "move": {"position": {"x": 1e999, "y": 0, "z": 0}}}'),
    ("json", '{"rid": 1, "move": {"position": {"x": 1, "y": 0, "z": 0}, "values": "not base64"}}'),
    ("flatbuffers", b""),
    ("flatbuffers", b"\x00" * 64),
    ("flatbuffers", b"\xff" * 64),
    ("flatbuffers", GOOD_CHAT[:20]),
    ("flatbuffers", GOOD_CHAT.replace(b"WMC1", b"WMS1")),
    ("flatbuffers", GOOD_CHAT.replace(b"WMC1", b"WMC2")),
    ("flatbuffers", b"\xff\xff\xff\x7fWMC1" + b"\x00" * 32),
    ("flatbuffers", _fb_encode.encode(f.ClientFrame(0, f.Move(f.Vec3(x=float("nan")))))),
    ("flatbuffers", _fb_encode.encode(f.ClientFrame(0, f.Move(f.Vec3(x=float("inf")))))),
]


async def test_what_is_no_frame_closes_the_socket_with_1008(places: Places) -> None:
    async with bystanders(places) as (room, _):
        for name, message in MALFORMED:
            async with welcomed(places, name) as socket:
                await enter(socket, room)
                await socket.say(message)
                assert await socket.farewell() == (1008, "FRAME_MALFORMED"), message


async def test_a_frame_of_an_unknown_kind_is_refused_and_the_socket_stays(places: Places) -> None:
    async with welcomed(places, "json") as socket:
        await socket.say('{"rid": 9, "dance": {}}')
        assert await socket.error() == (9, "FRAME_UNKNOWN", INVALID_ARGUMENT)
        await still_there(socket)


async def test_a_frame_of_an_unknown_kind_in_flatbuffers(places: Places) -> None:
    """The kind is the byte that tells Leave (4) apart; a kind of a newer version has a number past the last."""
    newer = next(
        UNKNOWN_KIND[:i] + b"\x63" + UNKNOWN_KIND[i + 1 :]
        for i in range(8, len(UNKNOWN_KIND))
        if UNKNOWN_KIND[i] == 4 and _kind(UNKNOWN_KIND[:i] + b"\x63" + UNKNOWN_KIND[i + 1 :]) == 0x63
    )
    async with welcomed(places, "flatbuffers") as socket:
        await socket.say(newer)
        assert await socket.error() == (9, "FRAME_UNKNOWN", INVALID_ARGUMENT)
        await still_there(socket)


def _kind(data: bytes) -> int:
    from worldmesh.client.v1.ClientFrame import ClientFrame

    try:
        return int(ClientFrame.GetRootAs(data, 0).BodyType())
    except Exception:  # the byte was an offset
        return 0


async def still_there(socket: Raw) -> None:
    await socket.frame(f.Ping(7), rid=77)
    frame = await socket.next()
    assert frame.rid == 77
    assert isinstance(frame.body, f.Pong)


@pytest.mark.parametrize("message", [b'{"rid": 1, "chat": {"text": "\xff"}}', b"\xc3\x28"], ids=["in a frame", "alone"])
async def test_text_that_is_not_utf8_closes_with_1007(places: Places, message: bytes) -> None:
    async with bystanders(places) as (room, _), welcomed(places, "json") as socket:
        await enter(socket, room)
        await socket.say(message, text=True)
        assert await socket.farewell() == (1007, "FRAME_MALFORMED")


@pytest.mark.parametrize("name", BOTH)
async def test_a_message_of_the_other_dialect_closes_with_1008(places: Places, name: DialectName) -> None:
    async with welcomed(places, name) as socket:
        await socket.say(b"{}" if name == "json" else '{"ping": {}}')
        assert await socket.farewell() == (1008, "FRAME_MALFORMED")


@pytest.mark.parametrize("name", BOTH)
async def test_frames_that_are_too_large_close_with_1009(places: Places, name: DialectName) -> None:
    async with bystanders(places) as (room, _):
        async with welcomed(places, name) as socket:
            await enter(socket, room)
            await socket.frame(f.Chat("x" * 5000))  # over 4 KiB, and no call
            assert await socket.farewell() == (1009, "FRAME_TOO_LARGE")
        async with welcomed(places, name) as socket:
            await socket.frame(f.Call("worldmesh.world.v1.WorldService/ListRooms", Room(description="x" * 70_000)))
            assert await socket.farewell() == (1009, "FRAME_TOO_LARGE")


@pytest.mark.parametrize("name", BOTH)
async def test_a_call_may_be_larger_than_other_frames(places: Places, name: DialectName) -> None:
    async with welcomed(places, name) as socket:
        call = f.Call("worldmesh.world.v1.WorldService/GetRoom", GetRoomRequest(room_id="x" * 20_000))
        await socket.frame(call)
        assert await socket.error() == (1, "INVALID_FIELD", INVALID_ARGUMENT)
        await still_there(socket)


# ------------------------------------------------------------------------------------------ frames out of place


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("body", "reason", "code"),
    [
        (f.Chat("hi"), "NOT_IN_ROOM", FAILED_PRECONDITION),
        (f.Whisper("usr_1", "hi"), "NOT_IN_ROOM", FAILED_PRECONDITION),
        (f.Emote("wave"), "NOT_IN_ROOM", FAILED_PRECONDITION),
        (f.Leave(), "NOT_IN_ROOM", FAILED_PRECONDITION),
        (f.Join("room_nowhere"), "ROOM_NOT_FOUND", NOT_FOUND),
        (f.Join("x" * 65), "INVALID_FIELD", INVALID_ARGUMENT),
    ],
    ids=["chat outside", "whisper outside", "emote outside", "leave outside", "no such room", "room id too long"],
)
async def test_frames_out_of_place(places: Places, name: DialectName, body: Any, reason: str, code: int) -> None:
    async with welcomed(places, name) as socket:
        await socket.frame(body, rid=5)
        assert await socket.error() == (5, reason, code)
        await still_there(socket)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("body", "reason", "code"),
    [
        (f.Join("room_plaza"), "ALREADY_IN_ROOM", FAILED_PRECONDITION),
        (f.Chat(""), "INVALID_FIELD", INVALID_ARGUMENT),
        (f.Chat("x" * 1001), "INVALID_FIELD", INVALID_ARGUMENT),
        (f.Chat("hi", "x" * 65), "INVALID_FIELD", INVALID_ARGUMENT),
        (f.Whisper("usr_nobody", "hi"), "MEMBER_NOT_FOUND", NOT_FOUND),
        (f.Emote("x" * 65), "INVALID_FIELD", INVALID_ARGUMENT),
        (f.Move(f.Vec3(), values=b"x" * 257), "INVALID_FIELD", INVALID_ARGUMENT),
    ],
    ids=["join twice", "empty", "too long", "id too long", "whisper to nobody", "emote too long", "too many values"],
)
async def test_frames_that_a_room_refuses(places: Places, name: DialectName, body: Any, reason: str, code: int) -> None:
    async with bystanders(places) as (room, _), welcomed(places, name) as socket:
        await enter(socket, room)
        await socket.frame(body, rid=5)
        assert await socket.error() == (5, reason, code)
        await still_there(socket)


# ------------------------------------------------------------------------------------------ calls


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("method", "request_", "reason", "code"),
    [
        ("worldmesh.world.v1.WorldService/Nothing", ListRoomsRequest(), "METHOD_NOT_FOUND", UNIMPLEMENTED),
        ("nothing at all", ListRoomsRequest(), "METHOD_NOT_FOUND", UNIMPLEMENTED),
        ("worldmesh.world.v1.WorldService/AuthorizeEntry", AuthorizeEntryRequest(), "METHOD_NOT_FOUND", UNIMPLEMENTED),
        ("worldmesh.gateway.v1.GatewayService/ListSessions", ListRoomsRequest(), "METHOD_NOT_FOUND", UNIMPLEMENTED),
        ("grpc.health.v1.Health/Check", ListRoomsRequest(), "METHOD_NOT_FOUND", UNIMPLEMENTED),
        (
            "worldmesh.presence.v1.PresenceService/WatchPresence",
            WatchPresenceRequest(user_ids=["usr_1"]),
            "METHOD_STREAMING",
            UNIMPLEMENTED,
        ),
        ("worldmesh.world.v1.WorldService/GetRoom", GetRoomRequest(), "INVALID_FIELD", INVALID_ARGUMENT),
    ],
    ids=["unknown", "no name", "internal", "server", "not ours", "streaming", "bad field"],
)
async def test_calls_that_are_refused(
    places: Places, name: DialectName, method: str, request_: Any, reason: str, code: int
) -> None:
    async with welcomed(places, name) as socket:
        await socket.frame(f.Call(method, request_), rid=6)
        assert await socket.error() == (6, reason, code)
        await still_there(socket)


@pytest.mark.parametrize(
    "request_",
    ['{"page_size": "many"}', '{"nothing_like_it": 1}', "[]", '"text"', '{"page_size": 1.5}'],
)
async def test_a_payload_of_the_wrong_type_in_json(places: Places, request_: str) -> None:
    async with welcomed(places, "json") as socket:
        method = "worldmesh.world.v1.WorldService/ListRooms"
        await socket.say(f'{{"rid": 6, "call": {{"method": "{method}", "request": {request_}}}}}')
        assert await socket.error() == (6, "PAYLOAD_MALFORMED", INVALID_ARGUMENT)
        await still_there(socket)


class _Bytes:
    """Stands in for a message, with bytes that are none."""

    def __bytes__(self) -> bytes:
        return b"\x0a\xff\xff"


async def test_a_payload_that_is_no_protobuf(places: Places) -> None:
    async with welcomed(places, "flatbuffers") as socket:
        await socket.frame(f.Call("worldmesh.world.v1.WorldService/ListRooms", _Bytes()), rid=6)  # type: ignore[arg-type]
        assert await socket.error() == (6, "PAYLOAD_MALFORMED", INVALID_ARGUMENT)
        await still_there(socket)


@pytest.mark.parametrize("name", BOTH)
async def test_calls_without_patience_are_each_answered(places: Places, name: DialectName) -> None:
    """Forty calls at once: eight at a time are made, the others may be refused, and every one is answered."""
    async with welcomed(places, name) as socket:
        call = f.Call("worldmesh.world.v1.WorldService/ListRooms", ListRoomsRequest(page_size=1))
        for rid in range(1, 41):
            await socket.frame(call, rid)
        answers = {frame.rid: frame.body for frame in [await socket.next() for _ in range(40)]}
        assert set(answers) == set(range(1, 41))
        assert any(isinstance(body, f.CallResult) for body in answers.values())
        assert set(socket.errors()) <= {"TOO_MANY_CALLS"}


# ------------------------------------------------------------------------------------------ rooms


@pytest.mark.parametrize("name", BOTH)
async def test_a_room_that_is_full_refuses_and_takes_the_next_when_somebody_leaves(
    places: Places, name: DialectName
) -> None:
    async with person(places, 0) as owner:
        room = await new_room(owner, capacity=2)
        async with bystanders(places, room) as (_, [ann, _bo]), person(places, 0, name) as cem:
            with pytest.raises(RequestError) as caught:
                await cem.join(room)
            assert (caught.value.reason, caught.value.code) == ("ROOM_FULL", RESOURCE_EXHAUSTED)
            await ann.client.leave()
            assert {m.user.user_id for m in (await cem.join(room)).members} >= {cem.user_id}
            await cem.client.leave()
            await ann.join(room)
            ann.heard.clear()


@pytest.mark.parametrize("name", BOTH)
async def test_a_private_room_hides_from_those_without_a_role(places: Places, name: DialectName) -> None:
    async with person(places, 0) as owner, person(places, 1, name) as bo:
        room = await new_room(owner, access_policy=AccessPolicy.PRIVATE)
        for request in (bo.join(room), bo.client.call(GetRoomRequest(room_id=room))):
            with pytest.raises(RequestError) as caught:
                await request
            assert (caught.value.reason, caught.value.code) == ("ROOM_NOT_FOUND", NOT_FOUND)
        await owner.client.call(SetRoomRoleRequest(room_id=room, user_id=bo.user_id, role=RoomRole.GUEST))
        await bo.join(room)


@pytest.mark.parametrize("name", BOTH)
async def test_a_room_for_followers_denies_others(places: Places, name: DialectName) -> None:
    async with person(places, 0) as owner, person(places, 1, name) as bo:
        room = await new_room(owner, access_policy=AccessPolicy.FOLLOWERS)
        with pytest.raises(RequestError) as caught:
            await bo.join(room)
        assert (caught.value.reason, caught.value.code) == ("ROOM_ACCESS_DENIED", PERMISSION_DENIED)


# ------------------------------------------------------------------------------------------ floods


@pytest.mark.parametrize("name", BOTH)
async def test_a_flood_is_refused_then_closed_and_the_room_does_not_notice(places: Places, name: DialectName) -> None:
    async with bystanders(places) as (room, [ann, _]), welcomed(places, name) as socket:
        await enter(socket, room)
        closed = asyncio.create_task(socket.farewell())
        for _ in range(2000):
            if closed.done():
                break
            try:
                await socket.frame(f.Ping(1))
            except Exception:  # it was closed while we were sending
                break
        assert await closed == (4101, "RATE_LIMITED")
        await ann.client.chat("calm")
