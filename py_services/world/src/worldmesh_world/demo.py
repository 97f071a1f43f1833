"""The demo world: rooms that are there at first start."""

from __future__ import annotations

from worldmesh_kit import Clock

from .domain.model import Position, Room, RoomSettings
from .ports import MadeBy, RequestKnownError, Rooms

DEMO_OWNER = "usr_worldmesh"

_ROOMS = (
    ("room_plaza", "The Plaza", "Where everybody arrives.", 100, RoomSettings(width=60, depth=40)),
    ("room_garden", "The Garden", "Quiet paths, tall hedges.", 50, RoomSettings(width=40, depth=60)),
    (
        "room_rooftop",
        "The Rooftop",
        "Small, high up, good view.",
        20,
        RoomSettings(width=20, depth=20, spawn=Position(2, 0, 2)),
    ),
)


async def seed(rooms: Rooms, clock: Clock) -> None:
    """Make the demo rooms that are not there. Several instances may do so at once, and again."""
    now = clock.now()
    for room_id, name, description, capacity, settings in _ROOMS:
        if await rooms.get(room_id) is not None:
            continue
        room = Room(
            room_id=room_id,
            owner_id=DEMO_OWNER,
            display_name=name,
            description=description,
            capacity=capacity,
            settings=settings,
            create_time=now,
            update_time=now,
            etag=f"etag_{room_id}",
        )
        try:
            await rooms.add(room, MadeBy(f"demo_{room_id}", "demo"))
        except RequestKnownError:
            continue  # another instance was faster
