"""Changes by field mask, and defaults."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldmesh_kit import DomainError, ErrorReason
from worldmesh_world.domain import changes
from worldmesh_world.domain.model import AccessPolicy, Position, Room, RoomDraft, RoomSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = Room(
    "room_a",
    "usr_owner",
    "Old",
    NOW,
    NOW,
    "etag",
    description="old",
    capacity=7,
    settings=RoomSettings(width=9, tick_hz=5),
)
NEW = RoomDraft("New", "new", AccessPolicy.PRIVATE, 3, RoomSettings(width=1, depth=2))


def test_only_what_the_mask_names_changes() -> None:
    changed = changes.apply(ROOM, NEW, ["display_name", "settings.width"])
    assert (changed.display_name, changed.settings) == ("New", RoomSettings(width=1, tick_hz=5))
    assert (changed.description, changed.capacity, changed.access_policy) == ("old", 7, AccessPolicy.PUBLIC)


def test_a_whole_message_is_replaced_whole() -> None:
    assert changes.apply(ROOM, NEW, ["settings"]).settings == NEW.settings


@pytest.mark.parametrize("path", ["", "owner_id", "etag", "settings.nope", "*"])
def test_a_path_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(DomainError) as raised:
        changes.apply(ROOM, NEW, [path])
    assert raised.value.reason == ErrorReason.ERROR_REASON_INVALID_UPDATE_MASK
    assert raised.value.metadata == {"path": path}


def test_a_blank_name_is_refused() -> None:
    with pytest.raises(DomainError):
        changes.apply(ROOM, RoomDraft("  "), ["display_name"])


@given(
    width=st.floats(0, 10_000, width=32),
    depth=st.floats(0, 10_000, width=32),
    x=st.floats(-1e6, 1e6),
    z=st.floats(-1e6, 1e6),
)
def test_members_appear_inside_of_the_room(width: float, depth: float, x: float, z: float) -> None:
    filled = RoomSettings(width=width, depth=depth, spawn=Position(x, 0, z)).filled()
    assert filled.spawn is not None
    assert 0 <= filled.spawn.x <= filled.width
    assert 0 <= filled.spawn.z <= filled.depth
    assert filled == filled.filled()
