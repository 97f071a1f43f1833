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
"""Each way. A relay that ends has to renew its lease and to release its rooms: twice that there and back."""
OLD, NEW = "relay-0", "relay-1"
ROOMS = "worldmesh_relay_rooms"
REBALANCED = 'worldmesh_relay_room_ends_total{why="rebalanced"}'


def _dies(scene: Scene) -> None:
    """A relay is to end, and is killed a moment later, by the seed. `left` is how many rooms it still had then."""
    name, after = RELAY(scene.rng), scene.rng.uniform(0.05, 0.5)
    pid = pid_of(scene.world, name)
    with httpx.Client(timeout=1) as http:
        had = sample(http, scene, [name]).total(ROOMS)
        scene.mark()
        os.kill(pid, signal.SIGTERM)
        time.sleep(after)
        left = sample(http, scene, [name]).total(ROOMS)
        with suppress(ProcessLookupError):  # it may have ended in time
            os.kill(pid, signal.SIGKILL)
    scene.figures |= {"killed_after_ms": round(after * 1000), "had": had, "left": left}


def _dies_amid_moves(scene: Scene) -> None:
    """The same, while each word with Redis takes so long that it can not be done with its rooms by then."""
    for link in TO_REDIS:
        scene.network.delay(link.name, SLOW_MS)
    time.sleep(1)
    _dies(scene)
    for link in TO_REDIS:
        scene.network.heal(link.name)


def _amid(result: Result) -> list[str]:
    return [] if result["had"] and result["left"] else [f"of {result['had']} rooms {result['left']} were left to move"]


def _supervise(world: World, method: str, what: str) -> None:
    """Tells the world's supervisor something."""
    transport = httpx.HTTPTransport(uds=str(Path(world.addresses["data"]) / SOCKET))
    with httpx.Client(transport=transport, timeout=30) as http:
        http.request(method, f"http://supervisor/process/{what}").raise_for_status()


def _relay_is_added(scene: Scene) -> None:
    """A world with one relay gets another one."""
    _supervise(scene.world, "PATCH", f"stop/{NEW}")
    with httpx.Client(timeout=1) as http:
        _until("one relay has all rooms", lambda: sample(http, scene, [OLD, NEW]).total(ROOMS) == scene.rooms)
        scene.mark()
        _supervise(scene.world, "POST", f"start/{NEW}")
        _until("the new one has a room", lambda: sample(http, scene, [NEW]).total(ROOMS) > 0)
        scene.figures["first_room_ms"] = round((time.monotonic() - scene.load.marked) * 1000)


def _until(what: str, holds: Callable[[], bool], limit: float = 30) -> None:
    end = time.monotonic() + limit
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"it does not happen that {what}")
        time.sleep(0.1)


def _rebalanced(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How many rooms were given away so that others have some, and who has how many in the end."""
    last = samples[-1].values
    moved = last[OLD].get(REBALANCED, 0) - samples[0].values[OLD].get(REBALANCED, 0)
    return {"rebalanced": moved, "old_has": last[OLD][ROOMS], "new_has": last[NEW][ROOMS], "rooms": scene.rooms}


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
        "relay SIGTERM, and `kill -9` 50 to 500 ms later",
        _dies,
        f"rooms live again ≤ 1 s, nobody waits longer than 3 s, nobody has to come back; {NONE_LOST}",
        1000,
        longest_ms=3000,
    ),
    Row(
        103,
        "the same in the middle of its moves: it takes half a second to ask Redis for anything",
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
