"""Who may know of a room, enter it and change it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from worldmesh_kit import DomainError, ErrorReason
from worldmesh_world.domain import access
from worldmesh_world.domain.model import AccessPolicy, Role, Room

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = set(Role)
GIVEN = ALL - {Role.NONE}


def room(policy: AccessPolicy) -> Room:
    return Room("room_a", "usr_owner", "A", NOW, NOW, "etag", access_policy=policy)


def refused(check: Callable[[], None]) -> str:
    """The reason for which a check refuses; empty if it does not."""
    try:
        check()
    except DomainError as error:
        return ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    return ""


@pytest.mark.parametrize(
    ("policy", "enters", "otherwise"),
    [
        (AccessPolicy.PUBLIC, ALL, ""),
        (AccessPolicy.UNLISTED, ALL, ""),
        (AccessPolicy.FOLLOWERS, GIVEN, "ROOM_ACCESS_DENIED"),
        (AccessPolicy.PRIVATE, GIVEN, "ROOM_NOT_FOUND"),
    ],
)
def test_who_enters(policy: AccessPolicy, enters: set[Role], otherwise: str) -> None:
    for role in Role:
        reason = refused(lambda role=role: access.check_entry(room(policy), role, follows_owner=False))  # type: ignore[misc]
        assert reason == ("" if role in enters else otherwise)


def test_a_follower_of_the_owner_enters_a_room_for_followers() -> None:
    access.check_entry(room(AccessPolicy.FOLLOWERS), Role.NONE, follows_owner=True)


@pytest.mark.parametrize(
    ("check", "allowed"),
    [
        (access.check_update, {Role.DESIGNER, Role.OWNER}),
        (access.check_delete, {Role.OWNER}),
        (access.check_read_roles, {Role.DESIGNER, Role.MODERATOR, Role.OWNER}),
    ],
)
def test_what_takes_which_role(check: Callable[[Room, Role], None], allowed: set[Role]) -> None:
    for role in Role:
        public = refused(lambda role=role: check(room(AccessPolicy.PUBLIC), role))  # type: ignore[misc]
        assert public == ("" if role in allowed else "ROOM_ROLE_REQUIRED")
    assert refused(lambda: check(room(AccessPolicy.PRIVATE), Role.NONE)) == "ROOM_NOT_FOUND"


@pytest.mark.parametrize(
    ("giver", "before", "after", "allowed"),
    [
        (Role.OWNER, Role.NONE, Role.MODERATOR, True),
        (Role.OWNER, Role.MODERATOR, Role.NONE, True),
        (Role.MODERATOR, Role.NONE, Role.GUEST, True),
        (Role.MODERATOR, Role.GUEST, Role.NONE, True),
        (Role.MODERATOR, Role.NONE, Role.DESIGNER, False),
        (Role.MODERATOR, Role.DESIGNER, Role.NONE, False),
        (Role.MODERATOR, Role.MODERATOR, Role.GUEST, False),
        (Role.DESIGNER, Role.NONE, Role.GUEST, False),
        (Role.NONE, Role.NONE, Role.GUEST, False),
    ],
)
def test_who_gives_and_takes_roles(giver: Role, before: Role, after: Role, allowed: bool) -> None:
    reason = refused(lambda: access.check_grant(room(AccessPolicy.PUBLIC), giver, before=before, after=after))
    assert reason == ("" if allowed else "ROOM_ROLE_REQUIRED")
