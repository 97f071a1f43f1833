"""Rooms and roles as world sees them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum


class AccessPolicy(IntEnum):
    """Who may enter; numbered as in the contract."""

    PUBLIC = 1
    UNLISTED = 2
    FOLLOWERS = 3
    PRIVATE = 4


class Role(IntEnum):
    """What somebody may do in a room; numbered as in the contract."""

    NONE = 0
    GUEST = 1
    DESIGNER = 2
    MODERATOR = 3
    OWNER = 4


@dataclass(frozen=True)
class Position:
    """A place in a room, in metres."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


@dataclass(frozen=True)
class RoomSettings:
    """Size and pace. Zero and None mean the default."""

    width: float = 0.0
    depth: float = 0.0
    tick_hz: int = 0
    max_speed: float = 0.0
    spawn: Position | None = None

    def filled(self) -> RoomSettings:
        """With all defaults, and the place where members appear inside of the room."""
        width, depth = self.width or 40.0, self.depth or 40.0
        spawn = self.spawn or Position(width / 2, 0.0, depth / 2)
        return RoomSettings(
            width=width,
            depth=depth,
            tick_hz=self.tick_hz or 20,
            max_speed=self.max_speed or 8.0,
            spawn=replace(spawn, x=min(max(spawn.x, 0.0), width), z=min(max(spawn.z, 0.0), depth)),
        )


DEFAULT_CAPACITY = 50


@dataclass(frozen=True)
class Room:
    """A room."""

    room_id: str
    owner_id: str
    display_name: str
    create_time: datetime
    update_time: datetime
    etag: str
    description: str = ""
    access_policy: AccessPolicy = AccessPolicy.PUBLIC
    capacity: int = DEFAULT_CAPACITY
    settings: RoomSettings = field(default_factory=RoomSettings)


@dataclass(frozen=True)
class RoomDraft:
    """What a caller wants of a new room."""

    display_name: str
    description: str = ""
    access_policy: AccessPolicy | None = None
    capacity: int = 0
    settings: RoomSettings = field(default_factory=RoomSettings)


@dataclass(frozen=True)
class RoleGrant:
    """A role that somebody has in a room."""

    room_id: str
    user_id: str
    role: Role
    granted_by: str
    grant_time: datetime


@dataclass(frozen=True)
class Entry:
    """Leave to enter a room."""

    room: Room
    role: Role
    shared: bool = False
    """Whether everybody without a role of its own gets the same answer."""
    named_user_ids: tuple[str, ...] = ()
    """Those who may get another, if it is shared: all with a role."""
