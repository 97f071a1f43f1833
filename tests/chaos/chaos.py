"""A world under load in which things go wrong."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.chaos.generator import Result, crowd
from tests.chaos.history import History
from tests.chaos.rows.row import Row, Scene, Setup, whole
from tests.support.world import World, free_base, running_world

CALM_SECONDS = 3.0


@dataclass(frozen=True)
class Size:
    """How many people there are."""

    rooms: int = 20
    members: int = 50
    rate: float = 4.0


class Chaos:
    """A world under load in which things go wrong."""

    def __init__(self, world: World, size: Size, history: History) -> None:
        self._world = world
        self._history = history
        self._size = size
        owner = world.guest("chaos")
        self._rooms = [self._create(n, owner.headers) for n in range(size.rooms)]

    def _create(self, number: int, headers: dict[str, str]) -> str:
        room = {"display_name": f"Chaos {number}", "capacity": 1000}
        body = {"room": room, "request_id": uuid.uuid4().hex}
        response = httpx.post(f"{self._world.rest}/v1/rooms", json=body, headers=headers)
        response.raise_for_status()
        return str(response.json()["room"]["room_id"])

    def run(self, row: Row, seed: int) -> Result:
        """One fault, once."""
        whole(self._world)
        with crowd(self._plan(row)) as load, ExitStack() as around:
            scene = Scene(self._world, random.Random(seed), load, self._history)
            for watch in row.around:
                around.enter_context(watch(scene))
            time.sleep(CALM_SECONDS)
            row.fault(scene)
            time.sleep(max(0.0, load.marked + row.seconds - time.monotonic()))
            result = load.stop()
            around.close()
            return result | scene.figures | self._history.check()

    def _plan(self, row: Row) -> Result:
        count = self._size.rooms * self._size.members
        with ThreadPoolExecutor(8) as pool:  # tokens are short-lived: each run has people of its own
            guests = list(pool.map(lambda _: self._world.guest("chaos"), range(count)))
        return {
            "urls": self._world.addresses["gateways_wss"],
            "ca": self._world.addresses["ca"],
            "rooms": self._rooms,
            "tokens": [g.access_token for g in guests],
            "rate": self._size.rate,
            "seconds": 280,
            **row.crowd,
        }


@contextmanager
def chaotic(setup: Setup, size: Size) -> Iterator[Chaos]:
    """Starts a world as a setup says, and ends it."""
    base = free_base()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        told = stack.enter_context(setup.beside(base)) if setup.beside else {}
        history = History(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        parts = (setup.overrides, told, history.overrides)
        names = {name for part in parts for name in part}
        overrides = {n: {k: v for part in parts for k, v in part.get(n, {}).items()} for n in names}
        world = running_world(folder, scale=dict(setup.scale), base=base, overrides=overrides)
        yield Chaos(stack.enter_context(world), size, history)
