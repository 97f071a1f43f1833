"""What callers may do with rooms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from worldmesh_kit import Clock, new_id

from worldmesh_world.ports import Eras, FollowGraph, MadeBy, RequestKnownError, Roles, Rooms

from . import access, changes, errors
from .model import DEFAULT_CAPACITY, AccessPolicy, Entry, Role, RoleGrant, Room, RoomDraft

_NAMED = 100
"""How many users with roles an answer for everybody may name; rooms with more are asked about one by one."""


class World:
    """The rules of rooms over what keeps them."""

    def __init__(
        self, *, rooms: Rooms, roles: Roles, eras: Eras, follows: FollowGraph, clock: Clock, limit: int
    ) -> None:
        self._rooms = rooms
        self._roles = roles
        self._eras = eras
        self._follows = follows
        self._clock = clock
        self._limit = limit

    async def create(self, owner_id: str, draft: RoomDraft, request_id: str) -> Room:
        """Make a room. A repeat of the request is answered with the same room."""
        changes.check_name(draft.display_name)
        made_by = MadeBy(request_id, _fingerprint(draft))
        if known := await self._known(owner_id, made_by):
            return known
        if await self._rooms.count(owner_id) >= self._limit:
            raise errors.room_limit(self._limit)
        now = self._clock.now()
        room = Room(
            room_id=new_id("room"),
            owner_id=owner_id,
            display_name=draft.display_name,
            description=draft.description,
            access_policy=draft.access_policy or AccessPolicy.PUBLIC,
            capacity=draft.capacity or DEFAULT_CAPACITY,
            settings=draft.settings,
            create_time=now,
            update_time=now,
            etag=new_id("etag"),
        )
        try:
            await self._rooms.add(room, made_by)
        except RequestKnownError:  # the same request, at the same moment
            known = await self._known(owner_id, made_by)
            if known is None:
                raise errors.request_id_reused() from None
            return known
        return room

    async def _known(self, owner_id: str, made_by: MadeBy) -> Room | None:
        known = await self._rooms.made_by(owner_id, made_by.request_id)
        if known is None:
            return None
        room, fingerprint = known
        if fingerprint != made_by.fingerprint:
            raise errors.request_id_reused()
        return room

    async def get(self, room_id: str, user_id: str) -> Room:
        """One room, for somebody who may know of it; nobody in particular is the empty id."""
        room, role = await self._room_and_role(room_id, user_id)
        access.check_known(room, role)
        return room

    async def list(
        self, *, user_id: str, owner_id: str, name_prefix: str, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Room]:
        """Public rooms; of the caller's own all."""
        own = owner_id != "" and owner_id == user_id
        return await self._rooms.list(
            owner_id=owner_id, public_only=not own, name_prefix=name_prefix, before=before, limit=limit
        )

    async def update(self, user_id: str, room_id: str, new: RoomDraft, paths: Sequence[str], etag: str) -> Room:
        """Change the fields of a room that the paths name. Without an etag the newest change wins."""
        while True:
            room, role = await self._room_and_role(room_id, user_id)
            access.check_update(room, role)
            if etag and etag != room.etag:
                raise errors.etag_mismatch(room.etag)
            changed = replace(changes.apply(room, new, paths), update_time=self._clock.now(), etag=new_id("etag"))
            if await self._rooms.replace(changed, room.etag):
                return changed
            # Somebody else was faster: look again, and with an etag find that it no longer fits.

    async def delete(self, user_id: str, room_id: str, etag: str) -> None:
        """Delete a room. One that is not there, or that the caller may not know of, is deleted already."""
        while True:
            room = await self._rooms.get(room_id)
            if room is None:
                return
            role = await self._role(room, user_id)
            if not access.may_know(room, role):
                return  # an error would tell that the room is there
            access.check_delete(room, role)
            if etag and etag != room.etag:
                raise errors.etag_mismatch(room.etag)
            if await self._rooms.delete(room_id, room.etag):
                return

    async def set_role(self, user_id: str, room_id: str, target_id: str, role: Role) -> None:
        """Give somebody a role, or with NONE take it away."""
        room, own_role = await self._room_and_role(room_id, user_id)
        access.check_known(room, own_role)
        if target_id == room.owner_id:
            raise errors.invalid_field("user_id", "the owner's role can not be changed")
        access.check_grant(room, own_role, before=await self._roles.of(room_id, target_id), after=role)
        if role is Role.NONE:
            await self._roles.take(room_id, target_id)
        else:
            await self._roles.set(RoleGrant(room_id, target_id, role, user_id, self._clock.now()))

    async def list_roles(self, user_id: str, room_id: str, after: str, limit: int) -> Sequence[RoleGrant]:
        """Roles that were given in a room."""
        room, role = await self._room_and_role(room_id, user_id)
        access.check_read_roles(room, role)
        return await self._roles.list(room_id, after, limit)

    async def authorize_entry(self, room_id: str, user_id: str) -> Entry:
        """Leave for a user to enter a room; raises ROOM_NOT_FOUND or ROOM_ACCESS_DENIED."""
        room, role = await self._room_and_role(room_id, user_id)
        follows = (
            room.access_policy is AccessPolicy.FOLLOWERS
            and role is Role.NONE
            and await self._follows.follows(user_id, room.owner_id)
        )
        access.check_entry(room, role, follows_owner=follows)
        if not access.open_to_all(room):
            return Entry(room, role)
        named = await self._roles.list(room_id, "", _NAMED + 1)
        if len(named) > _NAMED:
            return Entry(room, role)
        return Entry(room, role, shared=True, named_user_ids=(room.owner_id, *(g.user_id for g in named)))

    async def advance_era(self, after: int) -> int:
        """Move the era of room ownership on, once for all who saw the same one end."""
        return await self._eras.advance(after)

    async def _room_and_role(self, room_id: str, user_id: str) -> tuple[Room, Role]:
        room = await self._rooms.get(room_id)
        if room is None:
            raise errors.room_not_found()
        return room, await self._role(room, user_id)

    async def _role(self, room: Room, user_id: str) -> Role:
        if not user_id:
            return Role.NONE
        if user_id == room.owner_id:
            return Role.OWNER
        return await self._roles.of(room.room_id, user_id)


def _fingerprint(draft: RoomDraft) -> str:
    return hashlib.sha256(repr(asdict(draft)).encode()).hexdigest()
