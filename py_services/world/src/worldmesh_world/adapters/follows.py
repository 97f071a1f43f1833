"""Who follows whom."""

from __future__ import annotations


class NoFollows:
    """A graph without edges: no service of the mesh keeps follows yet.

    So a room for followers admits its owner and those with a role in it, and nobody else.
    """

    async def follows(self, user_id: str, target_id: str) -> bool:
        """Never."""
        return False
