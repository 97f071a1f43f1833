"""Server frames out of FlatBuffers, and out of packed state batches."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from flatbuffers import util
from worldmesh.client.v1.CallResult import CallResult
from worldmesh.client.v1.ChatMessage import ChatMessage
from worldmesh.client.v1.Correction import Correction
from worldmesh.client.v1.EmoteMessage import EmoteMessage
from worldmesh.client.v1.Error import Error
from worldmesh.client.v1.EventBody import EventBody
from worldmesh.client.v1.MemberJoined import MemberJoined
from worldmesh.client.v1.MemberLeft import MemberLeft
from worldmesh.client.v1.Pong import Pong
from worldmesh.client.v1.RoomEvent import RoomEvent
from worldmesh.client.v1.RoomLeft import RoomLeft
from worldmesh.client.v1.Roster import Roster
from worldmesh.client.v1.ServerBody import ServerBody
from worldmesh.client.v1.ServerFrame import ServerFrame
from worldmesh.client.v1.Snapshot import Snapshot
from worldmesh.client.v1.Welcome import Welcome
from worldmesh.client.v1.WhisperMessage import WhisperMessage

from . import _frames as f
from . import _state_batch
from ._errors import ProtocolError

IDENTIFIER = b"WMS1"

_STATE = struct.Struct("<IfffHH")  # EntityState, 20 bytes
_FIRST = 4  # a field's place in a table's vtable: 4 for the first, 2 more for each after it

Table: TypeAlias = Any  # a generated table; flatbuffers has no types
T = TypeVar("T")


def decode(data: bytes) -> f.ServerFrame:
    """Reads one binary WebSocket message. Raises ProtocolError if it is no frame."""
    if _state_batch.is_one(data):
        return f.ServerFrame(0, _state_batch.decode(data))
    if len(data) < 8 or not util.BufferHasIdentifier(data, 0, IDENTIFIER):
        raise ProtocolError("the message is no ServerFrame of this version")
    try:
        root = ServerFrame.GetRootAs(data, 0)
        table = root.Body()
        if table is None or root.BodyType() == ServerBody.NONE:
            raise ProtocolError("the frame has no body")
        return f.ServerFrame(root.Rid(), _BODIES.get(root.BodyType(), _unknown)(table))
    except (struct.error, IndexError, UnicodeDecodeError, TypeError, AttributeError) as e:
        raise ProtocolError("the frame does not decode") from e


def _as(kind: Callable[[], T], table: Table) -> T:
    value: Any = kind()
    value.Init(table.Bytes, table.Pos)
    result: T = value
    return result


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _bytes(table: Table, field: int) -> bytes:
    """A [ubyte] field at once; the generated accessor gives it byte by byte."""
    t = table._tab
    offset = t.Offset(_FIRST + 2 * field)
    return bytes(t.String(offset + t.Pos)) if offset else b""


def _user(user: Table) -> f.User:
    return f.User(_text(user.UserId()), _text(user.Username()), bool(user.Bot()))


def _state(state: Table) -> f.EntityState:
    entity, x, y, z, yaw, animation = _STATE.unpack_from(state._tab.Bytes, state._tab.Pos)
    return f.EntityState(entity, f.Vec3(_centimetres(x), _centimetres(y), _centimetres(z)), yaw, animation)


def _centimetres(metres: float) -> float:
    """A place as state batches and JSON have it, too: 1.3, and not the float32 next to it."""
    return round(metres, 2)


def _member(member: Table) -> f.Member:
    state = member.State()
    return f.Member(_user(member.User()), _state(state) if state else f.EntityState(0), _bytes(member, 2))


def _welcome(table: Table) -> f.Welcome:
    m: Any = _as(Welcome, table)
    return f.Welcome(_text(m.GatewaySessionId()), _user(m.User()), m.HeartbeatMs(), m.TokenExpiresInMs())


def _error(table: Table) -> f.Error:
    m = _as(Error, table)
    return f.Error(_text(m.Reason()), _text(m.Message()), m.Code(), m.RetryAfterMs(), _bytes(m, 4))


def _snapshot(table: Table) -> f.Snapshot:
    m = _as(Snapshot, table)
    return f.Snapshot(
        room_id=_text(m.RoomId()),
        display_name=_text(m.DisplayName()),
        epoch=m.Epoch(),
        seq=m.Seq(),
        tick=m.Tick(),
        tick_hz=m.TickHz(),
        width=m.Width(),
        depth=m.Depth(),
        max_speed=m.MaxSpeed(),
        self_entity=m.SelfEntity(),
        members=tuple(_member(m.Members(i)) for i in range(m.MembersLength())),
        sub=m.Sub(),
        resumed=bool(m.Resumed()),
        gap=bool(m.Gap()),
        view_radius=m.ViewRadius(),
    )


def _roster(table: Table) -> f.Roster:
    m = _as(Roster, table)
    return f.Roster(tuple(_member(m.Members(i)) for i in range(m.MembersLength())), bool(m.Last()))


def _correction(table: Table) -> f.Correction:
    return f.Correction(_state(_as(Correction, table).State()))


def _unknown(_: Table) -> f.Unknown:
    return f.Unknown()


def _room_event(table: Table) -> f.RoomEvent | f.Unknown:
    m = _as(RoomEvent, table)
    if m.BodyType() == EventBody.NONE:
        raise ProtocolError("the event has no body")
    read = _EVENTS.get(m.BodyType())
    if read is None:
        return f.Unknown(f.Position(m.Epoch(), m.Seq(), m.Sub()))
    return f.RoomEvent(m.Epoch(), m.Seq(), m.TimeMs(), read(m.Body()), m.Sub())


def _room_left(table: Table) -> f.RoomLeft:
    m = _as(RoomLeft, table)
    return f.RoomLeft(_text(m.RoomId()), _text(m.Reason()))


def _call_result(table: Table) -> f.CallResult:
    return f.CallResult(_bytes(_as(CallResult, table), 0))


def _pong(table: Table) -> f.Pong:
    m = _as(Pong, table)
    return f.Pong(m.ClientTimeMs(), m.ServerTimeMs())


def _joined(table: Table) -> f.MemberJoined:
    m = _as(MemberJoined, table)
    return f.MemberJoined(_member(m.Member()), bool(m.OutOfSight()))


def _left(table: Table) -> f.MemberLeft:
    m = _as(MemberLeft, table)
    return f.MemberLeft(m.Entity(), _text(m.UserId()))


def _chat(table: Table) -> f.ChatMessage:
    m = _as(ChatMessage, table)
    return f.ChatMessage(_user(m.Sender()), _text(m.Text()), _text(m.ClientMessageId()))


def _whisper(table: Table) -> f.WhisperMessage:
    m = _as(WhisperMessage, table)
    return f.WhisperMessage(_user(m.Sender()), _text(m.TargetUserId()), _text(m.Text()), _text(m.ClientMessageId()))


def _emote(table: Table) -> f.EmoteMessage:
    m = _as(EmoteMessage, table)
    return f.EmoteMessage(_user(m.Sender()), _text(m.EmoteId()), _text(m.TargetUserId()), _text(m.ClientMessageId()))


_EVENTS: dict[int, Callable[[Table], f.EventBody]] = {
    EventBody.MemberJoined: _joined,
    EventBody.MemberLeft: _left,
    EventBody.ChatMessage: _chat,
    EventBody.WhisperMessage: _whisper,
    EventBody.EmoteMessage: _emote,
}

_BODIES: dict[int, Callable[[Table], f.ServerBody | f.Unknown]] = {
    ServerBody.Welcome: _welcome,
    ServerBody.Ok: lambda _: f.Ok(),
    ServerBody.Error: _error,
    ServerBody.Snapshot: _snapshot,
    ServerBody.Correction: _correction,
    ServerBody.RoomEvent: _room_event,
    ServerBody.RoomLeft: _room_left,
    ServerBody.CallResult: _call_result,
    ServerBody.Pong: _pong,
    ServerBody.Roster: _roster,
}
