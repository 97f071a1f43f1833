"""Who may know of a room, enter it and change it. Pure rules."""

from __future__ import annotations

from . import errors
from .model import AccessPolicy, Role, Room


def may_know(room: Room, role: Role) -> bool:
    """Whether somebody may learn that the room is there: a private one hides from those who have no role in it."""
    return room.access_policy is not AccessPolicy.PRIVATE or role is not Role.NONE


def check_known(room: Room, role: Role) -> None:
    """Raise ROOM_NOT_FOUND for those who may not know of the room."""
    if not may_know(room, role):
        raise errors.room_not_found()


def check_entry(room: Room, role: Role, *, follows_owner: bool) -> None:
    """Raise ROOM_NOT_FOUND or ROOM_ACCESS_DENIED for those who may not enter."""
    check_known(room, role)
    if room.access_policy is AccessPolicy.FOLLOWERS and role is Role.NONE and not follows_owner:
        raise errors.access_denied()


def open_to_all(room: Room) -> bool:
    """Whether everybody may enter, by knowing the room's id at least."""
    return room.access_policy in (AccessPolicy.PUBLIC, AccessPolicy.UNLISTED)


def check_update(room: Room, role: Role) -> None:
    """Owner and designers change a room."""
    check_known(room, role)
    if role not in (Role.OWNER, Role.DESIGNER):
        raise errors.role_required("designer")


def check_delete(room: Room, role: Role) -> None:
    """The owner deletes a room."""
    check_known(room, role)
    if role is not Role.OWNER:
        raise errors.role_required("owner")


def check_grant(room: Room, role: Role, *, before: Role, after: Role) -> None:
    """The owner gives and takes every role but its own; moderators make guests, and unmake them."""
    check_known(room, role)
    guests_only = max(before, after) <= Role.GUEST
    if role is Role.OWNER or (role is Role.MODERATOR and guests_only):
        return
    raise errors.role_required("moderator" if guests_only else "owner")


def check_read_roles(room: Room, role: Role) -> None:
    """Owner, moderators and designers see the roles."""
    check_known(room, role)
    if role < Role.DESIGNER:
        raise errors.role_required("designer")
