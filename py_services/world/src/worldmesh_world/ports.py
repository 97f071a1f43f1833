"""What world's rules ask of the world around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .domain.model import Role, RoleGrant, Room


class RequestKnownError(Exception):
    """The owner has used the request id before."""


@dataclass(frozen=True)
class MadeBy:
    """The request that made a room."""

    request_id: str
    fingerprint: str
    """Of what was asked for, to tell a repeat from another request."""


class Rooms(Protocol):
    """Keeps rooms."""

    async def add(self, room: Room, made_by: MadeBy) -> None:
        """Keep a new room; raises RequestKnownError if its owner has used the request id before."""
        ...

    async def made_by(self, owner_id: str, request_id: str) -> tuple[Room, str] | None:
        """The room that a request made, and the request's fingerprint."""
        ...

    async def get(self, room_id: str) -> Room | None: ...

    async def replace(self, room: Room, etag: str) -> bool:
        """Store a changed room, if its etag is still this one; atomic."""
        ...

    async def delete(self, room_id: str, etag: str) -> bool:
        """Delete a room, if its etag is still this one; its roles go with it."""
        ...

    async def count(self, owner_id: str) -> int: ...

    async def list(
        self, *, owner_id: str, public_only: bool, name_prefix: str, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Room]:
        """Rooms, newest first, older than (create_time, room_id). An empty owner is any."""
        ...


class Roles(Protocol):
    """Keeps the roles that were given in rooms."""

    async def of(self, room_id: str, user_id: str) -> Role: ...
    async def set(self, grant: RoleGrant) -> None: ...
    async def take(self, room_id: str, user_id: str) -> None: ...
    async def list(self, room_id: str, after: str, limit: int) -> Sequence[RoleGrant]:
        """Grants after a user id, in order of user ids."""
        ...


class Eras(Protocol):
    """Keeps the era of room ownership."""

    async def advance(self, after: int) -> int:
        """Move on from an era, unless somebody has already; the present era. Never goes back."""
        ...


class FollowGraph(Protocol):
    """Knows who follows whom."""

    async def follows(self, user_id: str, target_id: str) -> bool: ...
