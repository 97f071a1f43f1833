"""Ids that sort by the time they were made."""

from __future__ import annotations

from ulid import ULID


def new_id(prefix: str) -> str:
    """A new id: the prefix, an underscore, and a ULID, for example `room_01HZY…`."""
    return f"{prefix}_{ULID()}"
