"""A world under load in which things go wrong."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.chaos.generator import Load, Result, crowd
from tests.chaos.history import History
from tests.chaos.network import Network, network
from tests.chaos.rows.row import TOO_BUSY_MS, Row, Scene, Setup, whole
from tests.support.world import Guest, World, free_base, running_world


@dataclass(frozen=True)
class Size:
    """How many people there are, how many steps each makes a second, and for how long nothing goes wrong, once steps
    are seen about as fast from one second to the next, which is waited for so many seconds at most, at each pace."""

    rooms: int = 20
    members: int = 50
    rate: float = 4.0
    calm: float = 3.0
    settle: float = 15.0


# What witnesses measure in place of the others, and how often each makes a step and those of a room say something, a
# second: seldom, for what they do is load, too, for all who see and hear it.
_WITNESSED = ("calm_step_p99_ms", "step_p99_ms")
_WITNESS_RATE, _WITNESS_WORDS = 0.5, 0.25


class Chaos:
    """A world under load in which things go wrong."""

    def __init__(self, world: World, network: Network, history: History, size: Size) -> None:
        self._world = world
        self._network = network
        self._history = history
        self._size = size

    def _create(self, http: httpx.Client, number: int) -> str:
        room = {"display_name": f"Chaos {number}", "capacity": 1000}
        body = {"room": room, "request_id": uuid.uuid4().hex}
        response = http.post(f"{self._world.rest}/v1/rooms", json=body)
        response.raise_for_status()
        return str(response.json()["room"]["room_id"])

    def run(self, row: Row, seed: int) -> Result:
        """One fault, once."""
        whole(self._world)
        began = time.monotonic_ns()
        people = self._people(self._size.members)
        plan = self._plan([p.access_token for p in people])
        crowded = plan | dict(row.crowd) | {"besides": row.witnesses}
        # Where witnesses measure, the crowd must not make them late.
        with crowd(crowded, nice=row.witnesses > 0) as load, ExitStack() as around:
            users = [p.user_id for p in people]
            witness = around.enter_context(self._witnesses(row, plan)) if row.witnesses else None
            rng = random.Random(seed)
            scene = Scene(self._world, rng, load, witness, self._network, self._history, users, plan["rooms"])
            for watch in row.around:
                around.enter_context(watch(scene))
            calm = load.calm()
            if witness:
                crowd_halved = calm["steps_halved"]
                calm = witness.calm()
                calm["steps_halved"] = max(calm["steps_halved"], crowd_halved)
            scene.figures |= calm
            time.sleep(self._size.calm)
            try:
                row.fault(scene)
            finally:
                self._network.heal()
            time.sleep(max(0.0, load.marked + row.seconds - time.monotonic()))
            if witness:
                scene.rest()  # thousands who leave at once are not what it measures
            scene.result = load.stop()
            if witness:
                seen = witness.stop()
                scene.result |= {what: seen[what] for what in _WITNESSED}
            around.close()
            return scene.result | scene.figures | self._history.check(began)

    def _witnesses(self, row: Row, plan: Result) -> AbstractContextManager[Load]:
        tokens = [p.access_token for p in self._people(row.witnesses)]
        others = self._size.members * int(row.crowd.get("copies", 1))
        return crowd(plan | {"tokens": tokens, "rate": _WITNESS_RATE, "words": _WITNESS_WORDS, "besides": others})

    def _people(self, members: int) -> list[Guest]:
        count = self._size.rooms * members
        with httpx.Client() as http, ThreadPoolExecutor(8) as pool:
            # Tokens are short-lived: each run has people of its own.
            return list(pool.map(lambda _: self._world.guest("chaos", http), range(count)))

    def _plan(self, tokens: list[str]) -> Result:
        with httpx.Client(headers=self._world.guest("chaos").headers) as http:
            rooms = [self._create(http, n) for n in range(self._size.rooms)]
        return {
            "urls": self._network.gateways(self._world.addresses["gateways_wss"]),
            "ca": self._world.addresses["ca"],
            "rooms": rooms,
            "tokens": tokens,
            "rate": self._size.rate,
            "settle": self._size.settle,
            "busy_ms": TOO_BUSY_MS,
            "seconds": 280,
        }


@contextmanager
def chaotic(setup: Setup, size: Size) -> Iterator[Chaos]:
    """Starts a world as a setup says, and ends it."""
    base = free_base()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        net = stack.enter_context(network(setup.links, base))
        told = stack.enter_context(setup.beside(base, folder)) if setup.beside else {}
        history = History(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        overrides: dict[str, dict[str, str]] = {}
        for part in (setup.overrides, net.overrides, told, history.overrides):
            for name, settings in part.items():
                overrides.setdefault(name, {}).update(settings)
        world = running_world(folder, scale=dict(setup.scale), base=base, overrides=overrides)
        yield Chaos(stack.enter_context(world), net, history, size)
