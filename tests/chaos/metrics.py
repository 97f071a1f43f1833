"""What a world's processes say of themselves, as numbers."""

from __future__ import annotations

import re

import httpx

from tests.support.world import World

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def total(world: World, service: str, metric: str, label: str = "") -> float:
    """The sum of a metric over a service's instances, and over its series that have the label (`outcome="again"`).

    An instance that does not answer just now counts as nothing.
    """
    pages = [page for name, page in world.addresses["admin"].items() if name.rpartition("-")[0] == service]
    found = 0.0
    for page in pages:
        try:
            text = httpx.get(page, timeout=5).text
        except httpx.TransportError:
            continue
        found += sum(float(v) for name, labels, v in _SAMPLE.findall(text) if name == metric and label in labels)
    return found
