"""Signing keys: made, published ahead of their use, retired after their last token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from worldmesh_kit import new_id

from worldmesh_identity.ports import Keys

from .model import SigningKey


@dataclass(frozen=True)
class Rotation:
    """The times in a key's life."""

    signs: timedelta
    """How long a key signs."""
    lead: timedelta
    """How long it is published before: longer than anybody caches the key set."""
    verifies: timedelta
    """How long it is published after: longer than a token lives."""


class KeyRing:
    """The keys that are published now, and the one that signs. Refresh it about every ten seconds."""

    def __init__(self, keys: Keys, rotation: Rotation) -> None:
        self._keys = keys
        self._rotation = rotation
        self._known: Sequence[SigningKey] = ()

    @property
    def published(self) -> Sequence[SigningKey]:
        """Keys that verify, newest first."""
        return self._known

    def signing(self, now: datetime) -> SigningKey:
        """The newest key that may sign."""
        for key in self._known:
            if key.active_time <= now:
                return key
        raise RuntimeError("no signing key is active")

    async def refresh(self, now: datetime) -> None:
        """Learn of other instances' keys, and make the next one when it is time."""
        self._known = await self._keys.all(now)
        newest = self._known[0] if self._known else None
        if newest is None:
            await self._make(now, now)
        elif now >= newest.active_time + self._rotation.signs - self._rotation.lead and newest.active_time <= now:
            await self._make(now, now + self._rotation.lead)
        else:
            return
        self._known = await self._keys.all(now)

    async def rotate(self, now: datetime) -> SigningKey:
        """Make the next key before its time, and return it: as always it is published for a while before it signs."""
        await self.refresh(now)
        if self._known[0].active_time <= now:
            await self._make(now, now + self._rotation.lead)
            self._known = await self._keys.all(now)
        return self._known[0]

    async def _make(self, now: datetime, active: datetime) -> None:
        private = Ed25519PrivateKey.generate()
        key = SigningKey(
            kid=new_id("key"),
            private=private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()),
            public=private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
            create_time=now,
            active_time=active,
        )
        life = self._rotation
        await self._keys.add(key, active + life.signs + life.lead + life.verifies)
