"""The client's own decisions, against a gateway that misbehaves on demand. The real one is met in tests/e2e."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from worldmesh_client import (
    ConnectionClosedError,
    Options,
    ProtocolError,
    Reconnected,
    ReconnectPolicy,
    RequestError,
    RoomEvent,
    RoomLeft,
    WorldmeshClient,
    WorldmeshError,
)
from worldmesh_client._session import Bot, Credentials, Guest, Session
from worldmesh_messages.worldmesh.identity import v1 as identity
from worldmesh_messages.worldmesh.world.v1 import (
    ListRoomsRequest,
    ListRoomsResponse,
    Room,
    UpdateRoomRequest,
    WorldServiceStub,
)

from .fake_gateway import FakeGateway, Peer, fake_gateway


class FakeIdentity:
    """Hands out numbered tokens."""

    def __init__(self) -> None:
        self.signed_in = 0
        self.refreshed = 0
        self.refuse_refresh = False

    def _tokens(self) -> identity.TokenPair:
        """Their names begin with the session's number: each sign-in is a session."""
        name = f"{self.signed_in}.{self.refreshed}"
        return identity.TokenPair(access_token=f"access-{name}", refresh_token=f"refresh-{name}")

    async def sign_in_guest(self, message: identity.SignInGuestRequest) -> identity.SignInGuestResponse:
        self.signed_in += 1
        return identity.SignInGuestResponse(account=identity.Account(user_id="usr_1"), tokens=self._tokens())

    async def sign_in_password(self, message: identity.SignInPasswordRequest) -> identity.SignInPasswordResponse:
        raise NotImplementedError

    async def sign_in_bot(self, message: identity.SignInBotRequest) -> identity.SignInBotResponse:
        self.signed_in += 1
        return identity.SignInBotResponse(account=identity.Account(user_id="usr_1"), tokens=self._tokens())

    async def refresh_session(self, message: identity.RefreshSessionRequest) -> identity.RefreshSessionResponse:
        if self.refuse_refresh:
            raise RequestError("SESSION_REVOKED", code=16)
        self.refreshed += 1
        return identity.RefreshSessionResponse(tokens=self._tokens())

    async def close(self) -> None:
        pass


QUICK = ReconnectPolicy(attempts=3, first_delay=0.001)


async def client(
    fake: FakeGateway, signing: FakeIdentity | None = None, credentials: Credentials | None = None, **options: Any
) -> WorldmeshClient:
    options.setdefault("reconnect", QUICK)
    session = Session(signing or FakeIdentity(), credentials or Guest())
    await session.sign_in()
    return WorldmeshClient(session, fake.url, Options(dialect="json", **options))


async def next_of(me: WorldmeshClient, kind: type[Any]) -> Any:
    async with asyncio.timeout(5):
        async for event in me.events():
            if isinstance(event, kind):
                return event
    raise AssertionError("the events ended")


async def test_an_error_frame_is_an_exception_with_its_reason() -> None:
    async def refuse(peer: Peer, frame: dict[str, Any]) -> None:
        detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "metadata": {"capacity": "2"}}
        error = {"reason": "ROOM_FULL", "code": 8, "retry_after_ms": 1500, "details": [detail]}
        await peer.send(rid=frame["rid"], error=error)

    async with fake_gateway(refuse) as fake, await client(fake) as me:
        with pytest.raises(RequestError) as caught:
            await me.chat("hi")
    assert (caught.value.reason, caught.value.code, caught.value.retry_after) == ("ROOM_FULL", 8, 1.5)
    assert caught.value.metadata == {"capacity": "2"}


async def test_a_call_finds_its_method_by_the_request() -> None:
    async def list_rooms(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.send(rid=frame["rid"], call_result={"response": {"rooms": [{"roomId": "room_1", "capacity": 7}]}})

    async with fake_gateway(list_rooms) as fake, await client(fake) as me:
        answer = await me.call(ListRoomsRequest(page_size=3))
        assert await me.stub(WorldServiceStub).list_rooms(ListRoomsRequest()) == answer
    assert answer == ListRoomsResponse(rooms=[Room(room_id="room_1", capacity=7)])
    [first, _] = await fake.heard_of("call", 2)
    assert first["call"] == {"method": "worldmesh.world.v1.WorldService/ListRooms", "request": {"pageSize": 3}}


async def test_a_message_that_is_no_request_is_refused() -> None:
    async with fake_gateway() as fake, await client(fake) as me:
        with pytest.raises(TypeError, match="Room is no request"):
            await me.call(Room())


async def test_a_field_mask_is_one_string_in_json() -> None:
    from worldmesh_client import _protojson
    from worldmesh_messages.google.protobuf import FieldMask

    request = UpdateRoomRequest(update_mask=FieldMask(paths=["display_name", "settings.max_speed"]))
    value = _protojson.encode(request)
    assert value == {"updateMask": "displayName,settings.maxSpeed"}
    assert _protojson.decode(UpdateRoomRequest, value) == request


@pytest.mark.parametrize("code", [4000, 4001, 1012])
async def test_a_lost_socket_is_replaced_and_the_room_entered_again(code: int) -> None:
    async def lose(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.connection.close(code)

    async with fake_gateway(lose) as fake, await client(fake) as me:
        await me.join("room_1")
        with pytest.raises(ConnectionClosedError):
            await me.chat("lost")
        back = await next_of(me, Reconnected)
        assert back.close_code == code
        assert back.snapshot is not None
        assert back.snapshot.room_id == "room_1"
        assert me.gateway_session_id == "gws_1"


async def test_a_code_that_asks_for_a_new_token_is_met_with_one() -> None:
    async def expire(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.connection.close(4202)

    signing = FakeIdentity()
    async with fake_gateway(expire) as fake, await client(fake, signing) as me:
        await me.move(1, 0, 1)
        await next_of(me, Reconnected)
        [first, second] = await fake.heard_of("hello", 2)
    assert first["hello"]["access_token"] == "access-1.0"
    assert second["hello"]["access_token"] == "access-1.1"


async def test_a_revoked_session_signs_in_again_once_its_refresh_token_is_refused() -> None:
    async def revoke(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.connection.close(4203)

    signing = FakeIdentity()
    signing.refuse_refresh = True
    async with fake_gateway(revoke) as fake, await client(fake, signing) as me:
        await me.move(1, 0, 1)
        await next_of(me, Reconnected)
    assert signing.signed_in == 2


@pytest.mark.parametrize("code", [1008, 1009, 4300, 4302, 4999])
async def test_a_code_that_says_stay_away_ends_the_client(code: int) -> None:
    async def ban(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.send(error={"reason": "FRAME_TOO_LARGE"})
        await peer.connection.close(code)

    async with fake_gateway(ban) as fake, await client(fake) as me:
        await me.move(1, 0, 1)
        with pytest.raises(ConnectionClosedError) as caught:
            await next_of(me, Reconnected)
        assert caught.value.code == code
        assert caught.value.error is not None
        assert caught.value.error.reason == "FRAME_TOO_LARGE"
        with pytest.raises(ConnectionClosedError):
            await me.chat("anybody?")
        assert len(fake.peers) == 1


async def test_a_client_gives_up_when_its_attempts_are_spent() -> None:
    async def die(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.connection.close(4000)

    async with fake_gateway(die) as fake:
        me = await client(fake)
        async with me:
            fake.url = "nowhere"
            me._url = "ws://127.0.0.1:9/ws"
            await me.move(1, 0, 1)
            with pytest.raises(ConnectionClosedError) as caught:
                await next_of(me, Reconnected)
    assert caught.value.code == 1006


async def test_a_room_that_does_not_let_one_back_in_is_told() -> None:
    async def handle(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.connection.close(4000)

    async with fake_gateway(handle) as fake, await client(fake) as me:
        await me.join("room_1")
        answer = fake._answer

        async def full(peer: Peer, frame: dict[str, Any]) -> None:
            if "join" in frame:
                await peer.send(rid=frame["rid"], error={"reason": "ROOM_FULL", "code": 8})
            else:
                await answer(peer, frame)

        fake._answer = full  # type: ignore[method-assign]
        await me.move(1, 0, 1)
        assert await next_of(me, RoomLeft) == RoomLeft("room_1", "ROOM_FULL")


class LosesItsRelay:
    """The room ends when somebody moves; the next joins are refused so often, with this."""

    def __init__(self, refusals: int, reason: str, code: int) -> None:
        self.refusals, self.error = refusals, {"reason": reason, "code": code}

    async def __call__(self, peer: Peer, frame: dict[str, Any]) -> None:
        await peer.send(room_left={"room_id": "room_1", "reason": "ROOM_UNAVAILABLE"})

    def install(self, fake: FakeGateway) -> None:
        answer = fake._answer

        async def refusing(peer: Peer, frame: dict[str, Any]) -> None:
            if "join" in frame and self.refusals:
                self.refusals -= 1
                await peer.send(rid=frame["rid"], error=self.error)
            else:
                await answer(peer, frame)

        fake._answer = refusing  # type: ignore[method-assign]


async def test_a_room_that_moved_is_entered_again_on_the_same_socket() -> None:
    loses = LosesItsRelay(1, "ROOM_UNAVAILABLE", 14)
    async with fake_gateway(loses) as fake, await client(fake) as me:
        await me.join("room_1")
        loses.install(fake)
        await me.move(1, 0, 1)
        back = await next_of(me, Reconnected)
    assert back.close_code is None
    assert back.snapshot is not None
    assert len(fake.peers) == 1


@pytest.mark.parametrize(("refusals", "reason", "code"), [(9, "ROOM_UNAVAILABLE", 14), (1, "ROOM_FULL", 8)])
async def test_a_room_that_moved_and_does_not_come_back_is_told(refusals: int, reason: str, code: int) -> None:
    loses = LosesItsRelay(refusals, reason, code)
    async with fake_gateway(loses) as fake, await client(fake) as me:
        await me.join("room_1")
        loses.install(fake)
        await me.move(1, 0, 1)
        assert await next_of(me, RoomLeft) == RoomLeft("room_1", "ROOM_UNAVAILABLE")


async def test_rooms_that_move_often_leave_nothing_behind() -> None:
    loses = LosesItsRelay(0, "", 0)
    async with fake_gateway(loses) as fake, await client(fake) as me:
        await me.join("room_1")
        for _ in range(20):
            await me.move(1, 0, 1)
            await next_of(me, Reconnected)
        await asyncio.sleep(0)  # the last one ends
        assert len(me._tasks) == 2, "the socket's and the token's"


async def test_the_largest_room_can_be_entered() -> None:
    """Five thousand members, each with the longest name and all its values, in the wordier dialect."""
    members = [
        {
            "user": {"user_id": f"usr_{n:026}", "username": "n" * 24, "bot": False},
            "state": {"entity": n, "position": {"x": 12345.678, "y": 12345.678, "z": 12345.678}, "yaw": 65535},
            "values": base64.b64encode(bytes(256)).decode(),
        }
        for n in range(5000)
    ]
    async with fake_gateway() as fake, await client(fake) as me:
        answer = fake._answer

        async def full(peer: Peer, frame: dict[str, Any]) -> None:
            if "join" in frame:
                await peer.send(rid=frame["rid"], snapshot={"room_id": "room_1", "members": members})
            else:
                await answer(peer, frame)

        fake._answer = full  # type: ignore[method-assign]
        assert len((await me.join("room_1")).members) == 5000


async def test_what_was_on_its_way_to_a_room_fails_when_the_room_ends() -> None:
    async def end(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.send(room_left={"room_id": "room_1", "reason": "MEMBER_KICKED"})

    async with fake_gateway(end) as fake, await client(fake) as me:
        await me.join("room_1")
        with pytest.raises(RequestError) as caught:
            await me.chat("last words")
        assert caught.value.reason == "MEMBER_KICKED"
        assert await next_of(me, RoomLeft) == RoomLeft("room_1", "MEMBER_KICKED")


@pytest.mark.parametrize("credentials", [Guest(), Bot("wmb_token")], ids=["guest", "bot"])
async def test_the_token_is_renewed_before_it_expires_in_the_same_session(credentials: Credentials) -> None:
    """A gateway takes tokens of the session that said hello, and of no other."""
    signing = FakeIdentity()
    async with fake_gateway(token_expires_in_ms=80) as fake, await client(fake, signing, credentials):
        frames = await fake.heard_of("refresh", 4)
        assert len(fake.peers) == 1
    assert [f["refresh"]["access_token"] for f in frames[:4]] == [f"access-1.{n}" for n in (1, 2, 3, 4)]
    assert fake.refused == []
    assert signing.signed_in == 1


async def test_a_silent_client_pings_and_a_silent_server_is_left() -> None:
    async with fake_gateway() as fake:
        fake.heartbeat_ms = 30
        async with await client(fake) as me:
            await fake.heard_of("ping")
            assert (await next_of(me, Reconnected)).close_code == 1001


async def test_a_client_that_walks_through_silence_pings_too() -> None:
    """Steps are not answered: who only walks must hear something, or it would give up a good server."""

    async def pong(peer: Peer, frame: dict[str, Any]) -> None:
        if "ping" in frame:
            await peer.send(rid=frame["rid"], pong={})

    async with fake_gateway(pong) as fake:
        fake.heartbeat_ms = 40
        async with await client(fake) as me:
            while len([f for f in fake.heard if "ping" in f]) < 4:
                await me.move(1, 0, 1)
                await asyncio.sleep(0.005)
            assert len(fake.peers) == 1


async def test_a_step_into_a_loss_is_left_out() -> None:
    async def lose(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.connection.close(4100)

    async with fake_gateway(lose) as fake, await client(fake) as me:
        await me.move(1, 0, 1)
        assert me._socket is not None
        await me._socket.closed
        await me.move(2, 0, 1)
        await next_of(me, Reconnected)
        assert len([f for f in fake.heard if "move" in f]) == 1


async def test_a_client_that_was_not_entered_says_so() -> None:
    async with fake_gateway() as fake:
        me = await client(fake)
        with pytest.raises(WorldmeshError, match="async with"):
            await me.chat("hi")


async def test_events_keep_their_order() -> None:
    async def talk(peer: Peer, frame: dict[str, Any]) -> None:
        for seq in range(100):
            chat = {"sender": {"user_id": "usr_2", "username": "bo"}, "text": str(seq)}
            await peer.send(room_event={"epoch": 1, "seq": seq, "time_ms": 0, "chat_message": chat})

    async with fake_gateway(talk) as fake, await client(fake) as me:
        await me.move(1, 0, 1)
        seqs = [(await next_of(me, RoomEvent)).seq for _ in range(100)]
    assert seqs == list(range(100))


async def test_what_a_newer_server_says_is_passed_over() -> None:
    async def say(peer: Peer, frame: dict[str, Any]) -> None:
        event = {"epoch": 1, "seq": 1, "time_ms": 0}
        chat = {"sender": {"user_id": "usr_2", "username": "bo"}, "text": "hi", "new_field": 1}
        await peer.send(new_kind={"x": 1})
        await peer.send(room_event=event | {"new_event": {}})
        await peer.send(room_event=event | {"seq": 2, "chat_message": chat})

    async with fake_gateway(say) as fake, await client(fake) as me:
        await me.move(1, 0, 1)
        async with asyncio.timeout(5):
            event = await anext(me.events())
        assert isinstance(event, RoomEvent)
        assert event.seq == 2
        assert len(fake.peers) == 1


async def test_an_event_of_a_newer_kind_is_not_asked_for_again() -> None:
    async def say_and_break(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.send(room_event={"epoch": 1, "seq": 7, "time_ms": 0, "new_event": {}})
        await peer.connection.close(4000)

    async with fake_gateway(say_and_break) as fake, await client(fake) as me:
        await me.join("room_1")
        await me.move(1, 0, 1)
        await next_of(me, Reconnected)
        [_, again] = await fake.heard_of("join", 2)
    assert again["join"]["resume"] == {"epoch": 1, "seq": 7, "sub": 0}


async def test_an_answer_of_a_newer_kind_is_one_unless_it_had_to_say_something() -> None:
    async def answer(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.send(rid=frame["rid"], new_kind={"x": 1})

    async with fake_gateway(answer) as fake, await client(fake) as me:
        await me.chat("hi")
        with pytest.raises(ProtocolError, match="Unknown"):
            await me.call(ListRoomsRequest())
        assert len(fake.peers) == 1


async def test_a_broken_frame_from_the_server_is_a_protocol_error() -> None:
    async def babble(peer: Peer, frame: dict[str, Any]) -> None:
        await peer.connection.send('{"room_event": {"epoch": "one"}}')

    async with fake_gateway(babble) as fake, await client(fake) as me:
        await me.move(1, 0, 1)
        with pytest.raises(ConnectionClosedError) as caught:
            await next_of(me, RoomEvent)
        assert caught.value.code == 1002


async def test_an_unanswered_request_times_out() -> None:
    async with fake_gateway() as fake, await client(fake, timeout=0.05) as me:
        with pytest.raises(TimeoutError):
            await me.chat("hello?")
