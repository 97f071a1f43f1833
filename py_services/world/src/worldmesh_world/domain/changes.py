"""Changes of a room by field mask (AIP-134). Pure rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from . import errors
from .model import DEFAULT_CAPACITY, AccessPolicy, Room, RoomDraft

_Change = Callable[[Room, RoomDraft], Room]

_FIELDS: dict[str, _Change] = {
    "display_name": lambda room, new: replace(room, display_name=new.display_name),
    "description": lambda room, new: replace(room, description=new.description),
    "access_policy": lambda room, new: replace(room, access_policy=new.access_policy or AccessPolicy.PUBLIC),
    "capacity": lambda room, new: replace(room, capacity=new.capacity or DEFAULT_CAPACITY),
    "settings": lambda room, new: replace(room, settings=new.settings),
    "settings.width": lambda room, new: replace(room, settings=replace(room.settings, width=new.settings.width)),
    "settings.depth": lambda room, new: replace(room, settings=replace(room.settings, depth=new.settings.depth)),
    "settings.tick_hz": lambda room, new: replace(room, settings=replace(room.settings, tick_hz=new.settings.tick_hz)),
    "settings.max_speed": lambda room, new: replace(
        room, settings=replace(room.settings, max_speed=new.settings.max_speed)
    ),
    "settings.spawn": lambda room, new: replace(room, settings=replace(room.settings, spawn=new.settings.spawn)),
}


def apply(room: Room, new: RoomDraft, paths: Sequence[str]) -> Room:
    """The room with the fields that the paths name taken from `new`. Raises INVALID_UPDATE_MASK."""
    if not paths:
        raise errors.invalid_mask("")
    for path in paths:
        change = _FIELDS.get(path)
        if change is None:
            raise errors.invalid_mask(path)
        room = change(room, new)
    check_name(room.display_name)
    return room


def check_name(display_name: str) -> None:
    """A name must show something."""
    if not display_name.strip():
        raise errors.invalid_field("room.display_name", "must not be blank")
