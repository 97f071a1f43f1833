"""The life of signing keys, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from worldmesh_identity.domain.keys import KeyRing, Rotation
from worldmesh_identity.domain.model import SigningKey

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROTATION = Rotation(signs=24 * HOUR, lead=timedelta(minutes=1), verifies=timedelta(minutes=5))


class MemoryKeys:
    """Keys as the database keeps them."""

    def __init__(self) -> None:
        self.kept: list[tuple[SigningKey, datetime]] = []

    async def all(self, now: datetime) -> Sequence[SigningKey]:
        return [key for key, expire in reversed(self.kept) if expire > now]

    async def add(self, key: SigningKey, expire_time: datetime) -> bool:
        if self.kept and self.kept[-1][0].active_time >= key.active_time:
            return False
        self.kept.append((key, expire_time))
        return True


@pytest.fixture
def keys() -> MemoryKeys:
    return MemoryKeys()


async def test_the_first_key_signs_at_once(keys: MemoryKeys) -> None:
    ring = KeyRing(keys, ROTATION)
    await ring.refresh(START)
    assert ring.signing(START).active_time == START


async def test_a_new_key_is_published_before_it_signs(keys: MemoryKeys) -> None:
    ring = KeyRing(keys, ROTATION)
    await ring.refresh(START)
    first = ring.signing(START)
    due = START + ROTATION.signs - ROTATION.lead
    await ring.refresh(due)
    assert len(ring.published) == 2
    assert ring.signing(due) == first
    assert ring.signing(due + ROTATION.lead) != first


async def test_a_key_that_is_made_before_its_time_is_published_before_it_signs_and_made_once(keys: MemoryKeys) -> None:
    ring = KeyRing(keys, ROTATION)
    await ring.refresh(START)
    first = ring.signing(START)
    now = START + HOUR
    following = await ring.rotate(now)
    assert await ring.rotate(now) == following
    assert [first, following] == [ring.signing(now), ring.signing(now + ROTATION.lead)]
    await ring.refresh(START + ROTATION.signs)
    assert len(keys.kept) == 2


async def test_what_was_signed_last_verifies_until_it_has_expired(keys: MemoryKeys) -> None:
    """Looked at every minute for three days by two instances."""
    rings = [KeyRing(keys, ROTATION), KeyRing(keys, ROTATION)]
    signed: list[tuple[str, datetime]] = []
    now = START
    while now < START + 72 * HOUR:
        for ring in rings:
            await ring.refresh(now)
            signed.append((ring.signing(now).kid, now + ROTATION.verifies))
        published = {k.kid for k in rings[0].published}
        signed = [(kid, expire) for kid, expire in signed if expire > now]
        assert {kid for kid, _ in signed} <= published
        now += timedelta(seconds=60)
    assert len(keys.kept) == 4
