"""World's settings."""

from __future__ import annotations

from pydantic import Field
from worldmesh_kit import Environment, MongoSettings


class Settings(MongoSettings):
    """What world can be told."""

    world_rooms: int = Field(50, ge=1, description="Rooms that one account may own.")
    world_demo: bool | None = Field(
        None, description="Whether the demo rooms are made at first start; by default in development only."
    )

    @property
    def demo(self) -> bool:
        """Whether the demo rooms are made at first start."""
        return self.environment is Environment.DEVELOPMENT if self.world_demo is None else self.world_demo
