"""Signing keys that are replaced before their time: from a shell, not by an RPC."""

from __future__ import annotations

from worldmesh_kit import connect_mongo

from .adapters.mongo_keys import MongoKeys, load_cipher
from .app import rotation
from .config import Settings
from .domain.keys import KeyRing


async def rotate_signing_key(settings: Settings) -> None:
    """Make the next key, and print which it is and when it begins to sign."""
    async with connect_mongo(settings.mongo_uri, settings.database, settings.mongo_driver) as mongo:
        stored = MongoKeys(mongo, load_cipher(settings.identity_key_file, settings.environment))
        key = await KeyRing(stored, rotation(settings)).rotate(settings.clock.now())
    print(f"{key.kid} signs from {key.active_time.isoformat()} on")
