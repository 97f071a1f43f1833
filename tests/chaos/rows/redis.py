"""Redis fails over: a replica takes over, which may have forgotten the last writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.generator import Result
from tests.chaos.metrics import total
from tests.chaos.redis_sets import Cluster, Sentinels

from .row import NONE_LOST, Fault, Overrides, Row, Scene, Setup

FORGET_SECONDS = 0.5
"""How much of the last writes is forgotten."""

_SENTINELS, _CLUSTER = Sentinels(), Cluster()


@contextmanager
def _with_sentinels(base: int, _: Path) -> Iterator[Overrides]:
    with _SENTINELS.running(base) as told:
        yield _for_relays(told)


@contextmanager
def _with_cluster(base: int, _: Path) -> Iterator[Overrides]:
    with _CLUSTER.running(base) as told:
        yield _for_relays(told)


def _for_relays(told: Mapping[str, str]) -> Overrides:
    return {"relay": told}


def _master_dies(forget: float) -> Fault:
    """The master of a set with sentinels dies; it comes back as a replica before the next run."""

    def fault(scene: Scene) -> None:
        _SENTINELS.make_whole()
        with scene.history.befalls("fail-over"):
            _SENTINELS.crash(forget, scene.mark)

    return fault


def _part_dies(forget: float) -> Fault:
    """One of a cluster's masters dies that have rooms, by the seed."""

    def fault(scene: Scene) -> None:
        _CLUSTER.make_whole()
        masters = [m for m in _CLUSTER.masters() if m.ask("KEYS", "worldmesh:room:*")]
        master = masters[scene.rng.randrange(len(masters))]
        with scene.history.befalls("fail-over"):
            _CLUSTER.crash(master, forget, scene.mark)

    return fault


@contextmanager
def _owners(scene: Scene) -> Iterator[None]:
    """How often rooms were claimed again in a newer era, and how many owners there are in the end for each room."""
    before = total(scene.world, "relay", "worldmesh_relay_claims_total", 'outcome="again"')
    rooms = total(scene.world, "relay", "worldmesh_relay_rooms")
    yield
    after = total(scene.world, "relay", "worldmesh_relay_claims_total", 'outcome="again"')
    scene.figures["claimed_again"] = after - before
    scene.figures["owners_too_many"] = total(scene.world, "relay", "worldmesh_relay_rooms") - rooms


def _one_owner(result: Result) -> list[str]:
    return [f"{result['owners_too_many']:+.0f} owners of rooms"] if result["owners_too_many"] else []


def _in_a_newer_era(result: Result) -> list[str]:
    wrong = [] if result["claimed_again"] else ["no room was claimed again in a newer era"]
    return wrong + _one_owner(result)


_GO_ON = f"one owner a room; rooms go on ≤ 5 s; {NONE_LOST}"
_AGAIN = f"rooms claimed again in a newer era; {_GO_ON}"
_SENTINEL_WORLD, _CLUSTER_WORLD = Setup(beside=_with_sentinels), Setup(beside=_with_cluster)


def _row(number: int, name: str, fault: Fault, promise: str, setup: Setup) -> Row:
    check = _in_a_newer_era if promise is _AGAIN else _one_owner
    return Row(number, name, fault, promise, 5000, 10, setup=setup, around=(_owners,), check=check)


ROWS = (
    _row(16, "Redis fails over (Sentinel)", _master_dies(0), _AGAIN, _SENTINEL_WORLD),
    _row(
        216, "the same, and half a second of writes is forgotten", _master_dies(FORGET_SECONDS), _AGAIN, _SENTINEL_WORLD
    ),
    # What nothing was forgotten of need not be claimed again; the leases may be in another part.
    _row(217, "a part of a Redis Cluster fails over", _part_dies(0), _GO_ON, _CLUSTER_WORLD),
    _row(218, "the same, and half a second of writes is forgotten", _part_dies(FORGET_SECONDS), _AGAIN, _CLUSTER_WORLD),
)
