"""RPCs over the socket, presence, signing in: what a client does beside walking and talking."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import sys
from urllib.parse import urlsplit

import pytest
from ulid import ULID
from worldmesh_client import (
    ChatMessage,
    DialectName,
    GrpcIdentity,
    MemberJoined,
    Reconnected,
    ReconnectPolicy,
    RequestError,
    WorldmeshClient,
)
from worldmesh_messages.google.protobuf import FieldMask
from worldmesh_messages.worldmesh.identity.v1 import (
    CreateBotRequest,
    GetSelfRequest,
    IdentityServiceStub,
    ListSessionsRequest,
    SetUsernameRequest,
)
from worldmesh_messages.worldmesh.presence.v1 import BatchGetPresenceRequest, PresenceServiceStub, UserPresence
from worldmesh_messages.worldmesh.world.v1 import (
    AccessPolicy,
    CreateRoomRequest,
    DeleteRoomRequest,
    GetRoomRequest,
    ListRoomsRequest,
    Room,
    RoomSettings,
    UpdateRoomRequest,
    WorldServiceStub,
)

from .people import PATIENCE, Places, new_room, person

BOTH: list[DialectName] = ["flatbuffers", "json"]


@pytest.mark.parametrize("dialect", BOTH)
async def test_a_room_is_made_read_changed_and_deleted_over_the_socket(places: Places, dialect: DialectName) -> None:
    async with person(places, 0, dialect) as ann:
        rooms = ann.client.stub(WorldServiceStub)
        request = CreateRoomRequest(
            room=Room(display_name="naïve ☃", capacity=7, settings=RoomSettings(width=12.5)), request_id=str(ULID())
        )
        room = (await rooms.create_room(request)).room
        assert room is not None
        assert room.settings is not None
        assert (room.display_name, room.capacity, room.settings.width) == ("naïve ☃", 7, 12.5)
        assert room.owner_id == ann.user_id
        assert (await rooms.create_room(request)).room == room, "a repeated request_id makes no second room"

        changed = await rooms.update_room(
            UpdateRoomRequest(
                room=Room(room_id=room.room_id, etag=room.etag, settings=RoomSettings(max_speed=3.5)),
                update_mask=FieldMask(paths=["settings.max_speed"]),
            )
        )
        assert changed.room is not None
        assert changed.room.settings is not None
        assert (changed.room.settings.max_speed, changed.room.settings.width) == (3.5, 12.5)
        mine = await rooms.list_rooms(ListRoomsRequest(owner_id=ann.user_id))
        assert [r.room_id for r in mine.rooms] == [room.room_id]
        await rooms.delete_room(DeleteRoomRequest(room_id=room.room_id))
        with pytest.raises(RequestError) as caught:
            await rooms.get_room(GetRoomRequest(room_id=room.room_id))
        assert (caught.value.reason, caught.value.code) == ("ROOM_NOT_FOUND", 5)


@pytest.mark.parametrize("dialect", BOTH)
async def test_a_call_that_fails_says_why_with_all_details(places: Places, dialect: DialectName) -> None:
    async with person(places, 1, dialect) as ann:
        request = CreateRoomRequest(room=Room(display_name="", capacity=-1), request_id="short")
        with pytest.raises(RequestError) as caught:
            await ann.client.call(request)
        assert (caught.value.reason, caught.value.code) == ("INVALID_FIELD", 3)
        [fields] = [d["fieldViolations"] for d in caught.value.details if d["@type"].endswith("BadRequest")]
        assert {f["field"] for f in fields} == {"room", "room.capacity", "request_id"}

        room = await new_room(ann)
        stale = UpdateRoomRequest(
            room=Room(room_id=room, display_name="New", etag="stale"), update_mask=FieldMask(paths=["display_name"])
        )
        with pytest.raises(RequestError) as caught:
            await ann.client.call(stale)
        assert (caught.value.reason, caught.value.code) == ("ETAG_MISMATCH", 10)
        assert "etag" in caught.value.metadata


@pytest.mark.parametrize("dialect", BOTH)
async def test_a_name_that_is_taken(places: Places, dialect: DialectName) -> None:
    async with person(places, 0, dialect) as ann, person(places, 1, dialect) as bo:
        with pytest.raises(RequestError) as caught:
            await ann.client.call(SetUsernameRequest(username=bo.name.upper()))
        assert (caught.value.reason, caught.value.code) == ("USERNAME_TAKEN", 6)
        assert caught.value.metadata["username"].lower() == bo.name.lower()


async def test_the_caller_is_who_the_token_says(places: Places) -> None:
    async with person(places) as ann, person(places, 1, "json") as bo:
        for one in (ann, bo):
            answer = await one.client.stub(IdentityServiceStub).get_self(GetSelfRequest())
            assert answer.account is not None
            assert answer.account.user_id == one.user_id


async def test_calls_are_answered_out_of_order_if_need_be_and_each_to_its_own(places: Places) -> None:
    async with person(places, 0, "json") as ann:
        rooms = [await new_room(ann) for _ in range(6)]
        answers = await asyncio.gather(*(ann.client.call(GetRoomRequest(room_id=room)) for room in rooms))
        assert [answer.room.room_id for answer in answers] == rooms


async def presence_of(asking: WorldmeshClient, user_id: str) -> UserPresence:
    answer = await asking.stub(PresenceServiceStub).batch_get_presence(BatchGetPresenceRequest(user_ids=[user_id]))
    return answer.presences[0]


async def eventually(asking: WorldmeshClient, user_id: str, *, online: bool, rooms: set[str]) -> UserPresence:
    """Waits until a user's presence is so; changes travel, so it is asked again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await presence_of(asking, user_id)
            if found.online == online and {device.room_id for device in found.devices} == rooms:
                return found
            await asyncio.sleep(0.05)


async def test_presence_knows_each_device_and_its_room(places: Places) -> None:
    device_id = f"a-device-{ULID()}"
    async with person(places, 0) as watcher:
        phone = await WorldmeshClient.guest(places.rest, device_id, places.options(0, device_name="phone"))
        desk = await WorldmeshClient.guest(places.rest, device_id, places.options(1, "json", device_name="desk"))
        async with phone:
            room = await new_room(watcher)
            await eventually(phone, phone.user_id, online=True, rooms={""})
            async with desk:
                await desk.join(room)
                found = await eventually(phone, phone.user_id, online=True, rooms={"", room})
                assert {(d.device_name, d.room_id) for d in found.devices} == {("phone", ""), ("desk", room)}
                names = {d.gateway_session_id for d in found.devices}
                assert names == {phone.gateway_session_id, desk.gateway_session_id}
                seen = await eventually(watcher.client, phone.user_id, online=True, rooms=set())
                assert (seen.devices, seen.change_time) == ([], found.change_time), "others do not see where"
            await eventually(phone, phone.user_id, online=True, rooms={""})
        await eventually(watcher.client, phone.user_id, online=False, rooms=set())


async def test_somebody_can_sign_in_over_grpc(places: Places) -> None:
    edge = urlsplit(places.edge)
    tls = ssl.create_default_context(cafile=places.ca)
    tls.set_alpn_protocols(["h2"])
    methods = GrpcIdentity(edge.hostname or "", edge.port or 443, tls)
    options = places.options(identity=methods)
    async with await WorldmeshClient.guest(places.edge, options=options) as client:
        me = await client.call(GetSelfRequest())
        assert me.account.user_id == client.user_id
    bad = GrpcIdentity(edge.hostname or "", edge.port or 443, tls)
    with pytest.raises(RequestError) as caught:
        await WorldmeshClient.bot(places.edge, "no-bot", places.options(identity=bad))
    assert (caught.value.reason, caught.value.code) == ("CREDENTIALS_INVALID", 16)


async def test_a_refreshed_token_keeps_the_socket_and_the_session(places: Places) -> None:
    from worldmesh_client._frames import Ok, Refresh

    async with person(places) as ann:
        session_id, old = ann.client.session.session_id, ann.client.session.access_token
        token = await ann.client.session.renew(old)
        assert token != old
        assert ann.client.session.session_id == session_id
        assert await ann.client.request(Refresh(token)) == Ok()
        sessions = await ann.client.stub(IdentityServiceStub).list_sessions(ListSessionsRequest())
        assert [s.session_id for s in sessions.sessions if s.current] == [session_id]


async def test_instances_of_a_bot_keep_their_sockets_beyond_their_first_tokens(places: Places) -> None:
    from worldmesh_client._frames import Ok, Refresh

    async with person(places) as ann:
        made = await ann.client.call(CreateBotRequest(username=f"robo-{secrets.token_hex(4)}"))
    one = await WorldmeshClient.bot(places.rest, made.bot_token, places.options(0))
    two = await WorldmeshClient.bot(places.rest, made.bot_token, places.options(1, "json"))
    async with one, two:
        assert one.session.session_id != two.session.session_id
        for bot in (one, two):
            session_id, old = bot.session.session_id, bot.session.access_token
            token = await bot.session.renew(old)
            assert token != old
            assert bot.session.session_id == session_id
            assert await bot.request(Refresh(token)) == Ok()


async def test_a_client_whose_socket_breaks_comes_back_into_its_room(places: Places) -> None:
    quick = ReconnectPolicy(first_delay=0.05)
    async with person(places) as ann, person(places, 1, "json", reconnect=quick) as bo:
        room = await new_room(ann)
        await ann.join(room)
        await bo.join(room)
        await ann.hears(MemberJoined)
        assert bo.client._socket is not None
        bo.client._socket._connection.transport.abort()
        [back] = await bo.hears(Reconnected)
        assert back.snapshot is not None
        assert {m.user.user_id for m in back.snapshot.members} == {ann.user_id, bo.user_id}
        await ann.client.chat("welcome back")
        await bo.hears(ChatMessage)


async def test_the_demo_command_says_and_hears(places: Places) -> None:
    async with person(places) as ann:
        room = await new_room(ann, access_policy=AccessPolicy.UNLISTED)
        await ann.join(room)
        arguments = ["--url", places.rest, "--room", room, "--say", "hello", "--seconds", "1"]
        demo = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worldmesh_client", *arguments), stdout=asyncio.subprocess.PIPE
        )
        [chat] = await ann.hears(ChatMessage)
        await ann.client.chat("hello yourself")
        said, _ = await demo.communicate()
    assert demo.returncode == 0
    assert chat.text == "hello"
    assert f"<{chat.sender.username}> hello\n" in said.decode()
    assert f"<{ann.name}> hello yourself\n" in said.decode()
