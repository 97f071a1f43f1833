"""What the services count, read while things go wrong."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import httpx

from tests.chaos.rows.row import Scene

_LINE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)

_BEGAN = "process_start_time_seconds"

Values: TypeAlias = Mapping[str, float]
"""By the metric's name with its labels, as it is written: `closes_total{code="4002"}`."""


@dataclass(frozen=True)
class Sample:
    """What some instances said at a time."""

    at: float
    values: Mapping[str, Values]
    """By instance; one that does not answer is left out."""

    def total(self, name: str) -> float:
        """The sum over instances."""
        return sum(values.get(name, 0.0) for values in self.values.values())


def risen(samples: Sequence[Sample], name: str) -> float:
    """By how much a counter has risen, summed over instances; one that has begun anew counts from 0."""
    total = 0.0
    last: dict[str, tuple[float, float]] = {}
    for one in samples:
        for instance, values in one.values.items():
            began, now = values.get(_BEGAN, 0.0), values.get(name, 0.0)
            began_before, before = last.get(instance, (began, now))
            total += now - before if abs(began - began_before) < 0.5 else now  # clocks are set
            last[instance] = began, now
    return total


def around_mark(samples: Sequence[Sample], marked: float) -> Sequence[Sample]:
    """Those since the mark, and the last before it: what happens before the next must count."""
    before = [s for s in samples if s.at < marked]
    return [*before[-1:], *(s for s in samples if s.at >= marked)]


def sample(http: httpx.Client, scene: Scene, instances: Sequence[str]) -> Sample:
    """Asks now."""
    values = {}
    for name in instances:
        try:
            text = http.get(scene.world.addresses["admin"][name]).text
        except httpx.HTTPError:
            continue
        values[name] = {line[1]: float(line[2]) for line in _LINE.finditer(text)}
    return Sample(time.monotonic(), values)


Reading: TypeAlias = Callable[[Scene, Sequence[Sample]], Mapping[str, float]]
"""Figures out of what was said, from before the mark to the end of the load."""


def counting(instances: Sequence[str], read: Reading) -> Callable[[Scene], AbstractContextManager[None]]:
    """Samples the metrics of instances five times a second, and puts into the figures what is read of them."""

    @contextmanager
    def around(scene: Scene) -> Iterator[None]:
        with httpx.Client(timeout=2) as http:
            samples = [sample(http, scene, instances)]
            ended = threading.Event()

            def go_on() -> None:
                while not ended.wait(0.2):
                    samples.append(sample(http, scene, instances))

            thread = threading.Thread(target=go_on)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
        scene.figures |= read(scene, [s for s in samples if s.at < scene.load.ended])

    return around
