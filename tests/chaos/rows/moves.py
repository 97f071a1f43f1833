"""Rooms that move: the relay dies in the middle of it, and a relay that is new gets some."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from worldmesh_mesh.supervisor import SOCKET

from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, counting, sample
from tests.support.world import World

from .network import SERVERS, TO_REDIS
from .row import NONE_LOST, RELAY, Row, Scene, pid_of

SLOW_MS = 250
"""Each way."""
OLD, NEW = "relay-0", "relay-1"
ROOMS, LEAVING = "worldmesh_relay_rooms", "worldmesh_relay_rooms_leaving"
REBALANCED = 'worldmesh_relay_room_ends_total{why="rebalanced"}'


def _dies(scene: Scene) -> None:
    """A relay is to end, and is killed at once or a moment later, by the seed: it may have got to anything by then."""
    name, after = RELAY(scene.rng), scene.rng.uniform(0, 0.05)
    pid = pid_of(scene.world, name)
    with scene.strikes():
        os.kill(pid, signal.SIGTERM)
        time.sleep(after)
        with suppress(ProcessLookupError):  # it may have ended in time
            os.kill(pid, signal.SIGKILL)
    scene.figures["killed_after_ms"] = round(after * 1000)


def _dies_amid_moves(scene: Scene) -> None:
    """A relay is to end, while each word with Redis takes so long that to give a room away takes a second: its newest
    words are written, and it is released. It is killed at a time in that second, by the seed. `had` is how many rooms
    it had before, and `leaving` how many it was about to give away when it was killed."""
    name, after = RELAY(scene.rng), scene.rng.uniform(0, 4 * SLOW_MS / 1000 - 0.2)
    pid = pid_of(scene.world, name)
    for link in TO_REDIS:
        scene.network.delay(link.name, SLOW_MS)
    time.sleep(1)
    with httpx.Client(timeout=1) as http:
        had = sample(http, scene, [name]).total(ROOMS)
        with scene.strikes():
            os.kill(pid, signal.SIGTERM)
            _until("it gives rooms away", lambda: sample(http, scene, [name]).total(LEAVING) > 0, pause=0.01)
            time.sleep(after)
            leaving = sample(http, scene, [name]).total(LEAVING)
            with suppress(ProcessLookupError):  # the check tells
                os.kill(pid, signal.SIGKILL)
    scene.figures |= {"killed_amid_ms": round(after * 1000), "had": had, "leaving": leaving}
    for link in TO_REDIS:
        scene.network.heal(link.name)


def _amid(result: Result) -> list[str]:
    had, leaving = result["had"], result["leaving"]
    return [] if leaving else [f"of {had:.0f} rooms it was giving none away when it was killed"]


def _supervise(world: World, method: str, what: str) -> None:
    """Tells the world's supervisor something."""
    transport = httpx.HTTPTransport(uds=str(Path(world.addresses["data"]) / SOCKET))
    with httpx.Client(transport=transport, timeout=30) as http:
        http.request(method, f"http://supervisor/process/{what}").raise_for_status()


def _relay_is_added(scene: Scene) -> None:
    """A world with one relay gets another one."""
    _supervise(scene.world, "PATCH", f"stop/{NEW}")
    with httpx.Client(timeout=1) as http:
        _until("one relay has all rooms", lambda: sample(http, scene, [OLD, NEW]).total(ROOMS) == len(scene.rooms))
        scene.mark()
        _supervise(scene.world, "POST", f"start/{NEW}")
        _until("the new one has a room", lambda: sample(http, scene, [NEW]).total(ROOMS) > 0)
        scene.figures["first_room_ms"] = round((time.monotonic() - scene.load.marked) * 1000)


def _until(what: str, holds: Callable[[], bool], limit: float = 30, pause: float = 0.1) -> None:
    end = time.monotonic() + limit
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"it does not happen that {what}")
        time.sleep(pause)


def _rebalanced(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How many rooms were given away so that others have some, and who has how many in the end."""
    last = samples[-1].values
    moved = last[OLD].get(REBALANCED, 0) - samples[0].values[OLD].get(REBALANCED, 0)
    return {"rebalanced": moved, "old_has": last[OLD][ROOMS], "new_has": last[NEW][ROOMS], "rooms": len(scene.rooms)}


def _shared(result: Result) -> list[str]:
    """All rooms have an owner, and the old relay has as few more than its share as relays put up with."""
    old, new, fair = result["old_has"], result["new_has"], result["rooms"] // 2
    wrong = (
        [] if old + new == result["rooms"] else [f"of {result['rooms']} rooms the old has {old:.0f}, the new {new:.0f}"]
    )
    if not result["rebalanced"] or old > fair + fair // 4 + 2:
        wrong.append(
            f"{result['rebalanced']:.0f} rooms were given away; the new relay has {new:.0f}, the old {old:.0f}"
        )
    return wrong


ROWS = (
    Row(
        101,
        "relay SIGTERM, and `kill -9` within 50 ms",
        _dies,
        f"rooms live again ≤ 1 s, nobody waits longer than 3 s, nobody has to come back; {NONE_LOST}",
        1000,
        longest_ms=3000,
    ),
    Row(
        103,
        "relay SIGTERM, and `kill -9` amid its moves, which take a second: each word with Redis takes half of one",
        _dies_amid_moves,
        f"rooms live again ≤ 3 s, nobody has to come back; {NONE_LOST}",
        3000,
        setup=SERVERS,
        check=_amid,
    ),
    Row(
        102,
        "a relay is added to one that has all rooms",
        _relay_is_added,
        f"it gets rooms, a tenth at a time, until they are shared; nobody has to come back; {NONE_LOST}",
        1000,
        longest_ms=3000,
        seconds=25,
        around=(counting((OLD, NEW), _rebalanced),),
        check=_shared,
    ),
)
