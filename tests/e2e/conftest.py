"""The world under test, as these tests see it."""

from __future__ import annotations

from typing import Any

import pytest

from .people import Places


@pytest.fixture(scope="session")
def places(world: Any) -> Places:
    """Where the world is: the addresses that `make where` prints."""
    where = world.where
    return Places(
        rest=where["rest"], edge=where["rest_tls"], gateways=tuple(where["gateways_wss"]), ca=where["ca"], where=where
    )
