"""World's settings."""

from __future__ import annotations

from pydantic import Field
from worldmesh_kit import MongoSettings


class Settings(MongoSettings):
    """What world can be told."""

    world_rooms: int = Field(50, ge=1, description="Rooms that one account may own.")
    world_demo: bool = Field(True, description="Whether the demo rooms are made at first start.")
