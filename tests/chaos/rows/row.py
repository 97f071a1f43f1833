"""What a row of the table is: a fault, the world and the crowd in which it happens, and what is promised."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.chaos.generator import Load, Result
from tests.chaos.history import History
from tests.chaos.network import Link, Network
from tests.support.world import SCALE, World

NONE_LOST = "0 lost, 0 twice, order kept"

Overrides: TypeAlias = Mapping[str, Mapping[str, str]]
"""Settings of services or single instances: what the mesh's WORLDMESH_OVERRIDES takes."""


@dataclass(frozen=True, eq=False)
class Setup:
    """A world that some rows need. It is started once for all rows that share the object."""

    scale: Mapping[str, str] = field(default_factory=lambda: SCALE)
    overrides: Overrides = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    """Ways between processes on which the network may be made bad."""
    beside: Callable[[int, Path], AbstractContextManager[Overrides]] | None = None
    """Processes that run beside the world: entered before it starts, with its port base and its folder (700 to 899
    above the base are free for them); says what the world's instances must be told of them."""


WHOLE = Setup()
"""Two of each stateful service."""


@dataclass
class Scene:
    """A world under load, as a fault finds it."""

    world: World
    rng: random.Random
    """From the run's seed: the same faults at the same times."""
    load: Load
    witness: Load | None
    """The one that plays the witnesses, if the row has any."""
    network: Network
    history: History
    """Of the relays: a fault that has Redis forget must say so."""
    users: Sequence[str]
    """The ids of the people in the rooms, as the load generator numbers them."""
    rooms: Sequence[str]
    """Their ids."""
    result: Result = field(default_factory=dict)
    """What the load generator has seen, once it has ended."""
    figures: Result = field(default_factory=dict)
    """What is measured beside that: becomes part of the row's result."""

    def mark(self) -> None:
        """Says that something goes wrong now: times are counted from here."""
        self.load.mark()
        if self.witness:
            self.witness.mark()

    def rest(self) -> None:
        """Says that what becomes of steps does not count from here."""
        (self.witness or self.load).tell("rest")

    @contextmanager
    def strikes(self) -> Iterator[None]:
        """The same of something that happens within this block: what is said before the block ends may be answered
        by what is about to die, and does not show that a room lives."""
        self.mark()
        yield
        self.load.struck()


Fault: TypeAlias = Callable[[Scene], None]
Around: TypeAlias = Callable[[Scene], AbstractContextManager[None]]
"""Watches a run: entered while all is calm, left when the load has ended and `figures` are to be filled in."""
Check: TypeAlias = Callable[[Result], list[str]]
"""What was not as promised, in words."""


TOO_BUSY_MS = 125
"""A machine on which steps are older than this (p99) while all is calm is too busy to show what a fault adds: everybody
walks half as often there, until it is not. A tick, and the way there and back, take half of this on one that is not."""
CALM_MS = 250
"""Where that did not help, it counts as calm that steps are as old as this."""


LATE = "others' steps were seen after"
"""How it begins that steps were seen too late."""


def as_when_calm(result: Result, by_ms: float = 0) -> list[str]:
    """Steps are seen within twice the time that they took before, and what the fault itself adds on their way."""
    calm, now = result["calm_step_p99_ms"], result["step_p99_ms"]
    if min(calm, now) < 0:
        return ["nobody saw others' steps"]
    most = 2 * min(calm, CALM_MS) + by_ms
    return [f"{LATE} {now:.0f} ms (p99), not {most:.0f}; before after {calm:.0f}"] if now > most else []


def nothing(_: Result) -> list[str]:
    """No promise beside those of every row."""
    return []


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    number: int
    name: str
    fault: Fault
    promise: str
    live_ms: float
    """How long rooms may take to live again, at the 99th percentile of rooms."""
    seconds: float = 6.0
    """How long is waited after the fault."""
    longest_ms: float = 0
    """How long an answer may take at most; 0: `live_ms`."""
    reconnects: int = 0
    """How often one client may have to come back."""
    gaps: bool = False
    """Whether members may be told that they have missed something (a snapshot with `gap`)."""
    comings: bool = False
    """Whether others may see members come or go."""
    setup: Setup = WHOLE
    crowd: Mapping[str, Any] = field(default_factory=dict)
    """What the load generator is told beside what all rows tell it: see its plan."""
    witnesses: int = 0
    """Members of each room who are played by a load generator of their own, and alone measure how old others' steps
    are: where the one that plays the others has so much to do at once that it would tell how late itself is."""
    around: tuple[Around, ...] = ()
    check: Check = nothing


def pid_of(world: World, name: str) -> int:
    """The pid of a process of the world, once everything is ready."""
    pids: dict[str, int] = whole(world)["pids"]
    return pids[name]


def whole(world: World) -> dict[str, Any]:
    """Waits until the world is whole; what `where` says then."""
    limit = time.monotonic() + 60
    while world.command("where", check=False).returncode != 0:
        if time.monotonic() > limit:
            raise TimeoutError("the world does not become whole again")
        time.sleep(0.2)
    return world.where


Which: TypeAlias = Callable[[random.Random], str]
"""Names a process of the world."""


def one_of(service: str) -> Which:
    """One of the two instances of a service, by the seed."""
    return lambda rng: f"{service}-{rng.randrange(2)}"


def just(name: str) -> Which:
    """The process of that name."""
    return lambda _: name


RELAY, GATEWAY, PRESENCE = one_of("relay"), one_of("gateway"), one_of("presence")


def signalled(which: Which, number: signal.Signals) -> Fault:
    """Sends a signal to a process."""

    def fault(scene: Scene) -> None:
        pid = pid_of(scene.world, which(scene.rng))
        with scene.strikes():
            os.kill(pid, number)

    return fault


def kill(which: Which) -> Fault:
    """Kills a process as a crash does."""
    return signalled(which, signal.SIGKILL)


def end(which: Which) -> Fault:
    """Ends a process as a deploy does."""
    return signalled(which, signal.SIGTERM)


def stop(which: Which, seconds: float) -> Fault:
    """Stops a process for a while, as if its machine were stuck."""

    def fault(scene: Scene) -> None:
        pid = pid_of(scene.world, which(scene.rng))
        with scene.strikes():
            os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    return fault
