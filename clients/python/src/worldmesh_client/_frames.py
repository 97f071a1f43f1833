"""What travels between a client and the gateway, as plain values. Names and units are those of client.fbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import betterproto2


@dataclass(frozen=True, slots=True)
class Vec3:
    """A place in metres; y points up."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


@dataclass(frozen=True, slots=True)
class EntityState:
    """Where an entity is. `yaw` is in 65536ths of a turn, clockwise seen from above; 0 is north."""

    entity: int
    position: Vec3 = Vec3()
    yaw: int = 0
    animation: int = 0


@dataclass(frozen=True, slots=True)
class EntityValues:
    """What an application syncs with an entity; opaque to the server."""

    entity: int
    values: bytes = b""


@dataclass(frozen=True, slots=True)
class User:
    """What others see of an account."""

    user_id: str
    username: str
    bot: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a room."""

    user: User
    state: EntityState
    values: bytes = b""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a room's ordered channel; ordered by its fields, in order."""

    epoch: int = 0
    seq: int = 0
    sub: int = 0


# ------------------------------------------------------------------------------------- client to server


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame: who I am."""

    access_token: str
    device_name: str = ""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A new access token for this socket, before the old one expires."""

    access_token: str


@dataclass(frozen=True, slots=True)
class Join:
    """Enters a room. `resume`: what I have seen of it, if I was in it and lost my socket."""

    room_id: str
    resume: Position | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Leaves the room."""


@dataclass(frozen=True, slots=True)
class Move:
    """My entity as it is now. Empty `values` keep those before; at most 256 bytes."""

    position: Vec3
    yaw: int = 0
    animation: int = 0
    values: bytes = b""


@dataclass(frozen=True, slots=True)
class Chat:
    """To all members: 1 to 1000 characters."""

    text: str
    client_message_id: str = ""


@dataclass(frozen=True, slots=True)
class Whisper:
    """To one member."""

    target_user_id: str
    text: str
    client_message_id: str = ""


@dataclass(frozen=True, slots=True)
class Emote:
    """An emote that all members see."""

    emote_id: str
    target_user_id: str = ""
    client_message_id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Calls the RPC `method`, for example `worldmesh.world.v1.WorldService/ListRooms`."""

    method: str
    request: betterproto2.Message


@dataclass(frozen=True, slots=True)
class Ping:
    """Sent when nothing else was for the heartbeat interval."""

    client_time_ms: int = 0


ClientBody: TypeAlias = Hello | Refresh | Join | Leave | Move | Chat | Whisper | Emote | Call | Ping


@dataclass(frozen=True, slots=True)
class ClientFrame:
    """One message of a client. With `rid` 0 no answer is wanted."""

    rid: int
    body: ClientBody


# ------------------------------------------------------------------------------------- server to client


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answers Hello."""

    gateway_session_id: str
    user: User
    heartbeat_ms: int = 0
    token_expires_in_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ok:
    """The frame with this rid was done."""


@dataclass(frozen=True, slots=True)
class Error:
    """The frame with this rid was not done. `status` is a serialized google.rpc.Status (FlatBuffers dialect),
    `details` its details as ProtoJSON (JSON dialect)."""

    reason: str
    message: str = ""
    code: int = 0
    retry_after_ms: int = 0
    status: bytes = b""
    details: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Answers Join: the room as it is, and the place in the ordered channel after which the events follow. `resumed`:
    I never left, and what I missed follows. `gap`: I have missed events that can't be had any more; then it may also
    come again, by itself. `view_radius`: the room is so full that one sees only those around; then `members` is only
    oneself, and the others follow in Rosters."""

    room_id: str
    display_name: str = ""
    epoch: int = 0
    seq: int = 0
    tick: int = 0
    tick_hz: int = 0
    width: float = 0.0
    depth: float = 0.0
    max_speed: float = 0.0
    self_entity: int = 0
    members: tuple[Member, ...] = ()
    sub: int = 0
    resumed: bool = False
    gap: bool = False
    view_radius: float = 0.0

    @property
    def position(self) -> Position:
        """The place in the ordered channel after which the events follow."""
        return Position(self.epoch, self.seq, self.sub)


@dataclass(frozen=True, slots=True)
class StateBatch:
    """The state channel: the newest state of entities that changed, of those in sight. Who has a state is in sight from
    now on, those in `gone` no longer are, and with `anew` all others are not; `anew` and `gone` count before the
    states."""

    tick: int = 0
    states: tuple[EntityState, ...] = ()
    values: tuple[EntityValues, ...] = ()
    gone: tuple[int, ...] = ()
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Roster:
    """More of a snapshot's members: who they are, not where. `last`: nobody follows."""

    members: tuple[Member, ...] = ()
    last: bool = False


@dataclass(frozen=True, slots=True)
class Correction:
    """The server moved my entity back: it left the bounds or was too fast."""

    state: EntityState


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """Somebody entered the room. `out_of_sight`: the room is full, and it is not in sight before a StateBatch says
    where it is."""

    member: Member
    out_of_sight: bool = False


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """Somebody left the room."""

    entity: int
    user_id: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """Said to all members; the sender hears it too."""

    sender: User
    text: str
    client_message_id: str = ""


@dataclass(frozen=True, slots=True)
class WhisperMessage:
    """Said to one member; the sender hears it too."""

    sender: User
    target_user_id: str
    text: str
    client_message_id: str = ""


@dataclass(frozen=True, slots=True)
class EmoteMessage:
    """An emote that all members see."""

    sender: User
    emote_id: str
    target_user_id: str = ""
    client_message_id: str = ""


EventBody: TypeAlias = MemberJoined | MemberLeft | ChatMessage | WhisperMessage | EmoteMessage


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """The ordered channel. `seq` grows by one with each event that all members see; a whisper has the number of the
    event before it and a `sub` of its own, from 1. `time_ms` is Unix time by the relay's clock."""

    epoch: int
    seq: int
    time_ms: int
    body: EventBody
    sub: int = 0

    @property
    def position(self) -> Position:
        """Where it stands in the ordered channel."""
        return Position(self.epoch, self.seq, self.sub)


@dataclass(frozen=True, slots=True)
class RoomLeft:
    """The room ended for this session, but not by its own Leave."""

    room_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallResult:
    """Answers Call: Protobuf in the FlatBuffers dialect, ProtoJSON in the JSON dialect."""

    response: bytes | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers Ping. Times are Unix milliseconds."""

    client_time_ms: int = 0
    server_time_ms: int = 0


ServerBody: TypeAlias = (
    Welcome | Ok | Error | Snapshot | StateBatch | Correction | RoomEvent | RoomLeft | CallResult | Pong | Roster
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame or an event of a kind that this version does not know, for servers may be newer. It is ignored; but an
    event has been seen, at its place in the ordered channel."""

    position: Position | None = None


@dataclass(frozen=True, slots=True)
class ServerFrame:
    """One message of the gateway. With `rid` 0 it answers none of the client's."""

    rid: int
    body: ServerBody | Unknown
