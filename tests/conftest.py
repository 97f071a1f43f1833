"""A whole world for tests: the real Envoy, mongod and services, two of each stateful one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.otlp import SpanReceiver, span_receiver
from tests.support.world import World, running_world


@pytest.fixture(scope="session")
def spans() -> Iterator[SpanReceiver]:
    """What the world's processes send as OTLP."""
    with span_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def world(spans: SpanReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of its own, on ports and in a folder of its own, for the whole session."""
    with running_world(tmp_path_factory.mktemp("world"), otlp=spans.endpoint) as running:
        yield running
