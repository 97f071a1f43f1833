"""Redis forgets: everything, or when it fails over perhaps the last writes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from valkey import Valkey

from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, counting
from tests.chaos.redis_sets import Cluster, Sentinels

from .row import NONE_LOST, Fault, Overrides, Row, Scene, Setup
from .signals import timely

FORGET_SECONDS = 0.5
"""How much of the last writes is forgotten."""
_FULL_SECONDS = 5

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
            _SENTINELS.crash(forget, scene.strikes)

    return fault


def _part_dies(forget: float) -> Fault:
    """One of a cluster's masters dies that have rooms, by the seed."""

    def fault(scene: Scene) -> None:
        _CLUSTER.make_whole()
        masters = [m for m in _CLUSTER.masters() if m.ask("KEYS", "worldmesh:room:*")]
        master = masters[scene.rng.randrange(len(masters))]
        with scene.history.befalls("fail-over"):
            _CLUSTER.crash(master, forget, scene.strikes)

    return fault


def _flush(scene: Scene) -> None:
    """Has Redis forget everything."""
    host, _, port = str(scene.world.addresses["redis"]).partition(":")
    address = (host, int(port))
    with scene.strikes(), scene.history.befalls("flush"), socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        if (answer := connection.recv(64)) != b"+OK\r\n":
            raise RuntimeError(f"FLUSHALL was answered with {answer!r}")


def _full(scene: Scene) -> None:
    """Redis may take no more memory than it has already, for a while."""
    host, _, port = str(scene.world.addresses["redis"]).partition(":")
    with Valkey(host, int(port), socket_timeout=5) as client:
        with scene.strikes():
            client.config_set("maxmemory", "1mb")
        try:
            time.sleep(_FULL_SECONDS)
        finally:
            client.config_set("maxmemory", "0")


def _clear(result: Result) -> list[str]:
    """Whatever is refused is refused as the log's being unavailable, with a time to try again; state goes on."""
    reasons = set(result["notes"].get("refused", ())) - {"LOG_UNAVAILABLE"}
    return timely(result) + ([f"refused as {', '.join(sorted(reasons))}"] if reasons else [])


_RELAYS = ("relay-0", "relay-1")
_CLAIMED_AGAIN = 'worldmesh_relay_claims_total{outcome="again"}'


def _claims(_: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How often rooms were claimed again in a newer era."""
    told = [s for s in samples if len(s.values) == len(_RELAYS)]
    return {"claimed_again": told[-1].total(_CLAIMED_AGAIN) - told[0].total(_CLAIMED_AGAIN)}


def _owners(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """And how many owners too many there are in the end."""
    told = [s for s in samples if len(s.values) == len(_RELAYS)]
    owners = told[-1].total("worldmesh_relay_rooms")
    return {**_claims(scene, samples), "owners_too_many": owners - scene.rooms}


def _again(result: Result) -> list[str]:
    return [] if result["claimed_again"] else ["no room was claimed again in a newer era"]


def _one_owner(result: Result) -> list[str]:
    return [f"{result['owners_too_many']:+.0f} owners of rooms"] if result["owners_too_many"] else []


def _in_a_newer_era(result: Result) -> list[str]:
    return _again(result) + _one_owner(result)


_GO_ON = f"one owner a room; rooms go on ≤ 5 s; {NONE_LOST}"
_AGAIN = f"rooms claimed again in a newer era; {_GO_ON}"
_SENTINEL_WORLD, _CLUSTER_WORLD = Setup(beside=_with_sentinels), Setup(beside=_with_cluster)


def _row(number: int, name: str, fault: Fault, promise: str, setup: Setup) -> Row:
    check = _in_a_newer_era if promise is _AGAIN else _one_owner
    return Row(number, name, fault, promise, 5000, 10, setup=setup, around=(counting(_RELAYS, _owners),), check=check)


ROWS = (
    Row(
        18,
        "Redis FLUSHALL",
        _flush,
        f"rooms claimed again in a newer era; {NONE_LOST}",
        5000,
        around=(counting(_RELAYS, _claims),),
        check=_again,
    ),
    Row(
        118,
        "Redis at maxmemory for 5 s",
        _full,
        f"state goes on; ordered refused with LOG_UNAVAILABLE and RetryInfo; nothing false acknowledged; {NONE_LOST}",
        8000,
        seconds=12,
        check=_clear,
    ),
    _row(16, "Redis fails over (Sentinel)", _master_dies(0), _AGAIN, _SENTINEL_WORLD),
    _row(
        216,
        "Redis fails over (Sentinel), and half a second of writes is forgotten",
        _master_dies(FORGET_SECONDS),
        _AGAIN,
        _SENTINEL_WORLD,
    ),
    # What nothing was forgotten of need not be claimed again; the leases may be in another part.
    _row(217, "a part of a Redis Cluster fails over", _part_dies(0), _GO_ON, _CLUSTER_WORLD),
    _row(
        218,
        "a part of a Redis Cluster fails over, and half a second of writes is forgotten",
        _part_dies(FORGET_SECONDS),
        _AGAIN,
        _CLUSTER_WORLD,
    ),
)
