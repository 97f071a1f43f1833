"""Worldmesh's Python client: sign in, enter a room, walk, talk, call RPCs. See docs/python-client.md."""

from ._client import Options, WorldmeshClient
from ._dialect import DialectName
from ._errors import ConnectionClosedError, ProtocolError, RequestError, WorldmeshError
from ._events import Event, Missed, Reconnected
from ._frames import (
    ChatMessage,
    Correction,
    EmoteMessage,
    EntityState,
    EntityValues,
    Member,
    MemberJoined,
    MemberLeft,
    RoomEvent,
    RoomLeft,
    Roster,
    Snapshot,
    StateBatch,
    User,
    Vec3,
    WhisperMessage,
)
from ._identity import GrpcIdentity, RestIdentity, SignInMethods
from ._reconnect import NO_RECONNECT, Advice, ReconnectPolicy, advice
from ._room_view import RoomView
from ._session import Bot, Credentials, Guest, Password, Session

__all__ = [
    "NO_RECONNECT",
    "Advice",
    "Bot",
    "ChatMessage",
    "ConnectionClosedError",
    "Correction",
    "Credentials",
    "DialectName",
    "EmoteMessage",
    "EntityState",
    "EntityValues",
    "Event",
    "GrpcIdentity",
    "Guest",
    "Member",
    "MemberJoined",
    "MemberLeft",
    "Missed",
    "Options",
    "Password",
    "ProtocolError",
    "ReconnectPolicy",
    "Reconnected",
    "RequestError",
    "RestIdentity",
    "RoomEvent",
    "RoomLeft",
    "RoomView",
    "Roster",
    "Session",
    "SignInMethods",
    "Snapshot",
    "StateBatch",
    "User",
    "Vec3",
    "WhisperMessage",
    "WorldmeshClient",
    "WorldmeshError",
    "advice",
]
