"""Redis forgets: everything, or when it fails over perhaps the last writes."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import grpc
from valkey import Valkey
from worldmesh.common.v1 import avatar_pb2
from worldmesh.room.v1 import room_service_pb2, room_service_pb2_grpc

from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, counting
from tests.chaos.redis_sets import Cluster, Sentinels

from .row import NONE_LOST, Fault, Overrides, Row, Scene, Setup
from .signals import timely, woken

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


_ASK_SECONDS = 6.0
_CONFIG = room_service_pb2.RoomConfig(
    capacity=1000, width=40, depth=40, tick_hz=20, max_speed=8, spawn=avatar_pb2.Position(x=1, z=1)
)


def _flush_and_ask(scene: Scene) -> None:
    """The same, and at once, before their owners have said another word, a gateway that is in none of the rooms asks
    each relay for all of them."""
    asked, flushed = list(itertools.product(scene.rooms, _RELAYS)), threading.Event()
    with scene.world.mesh_channel("gateway") as channel, ThreadPoolExecutor(len(asked)) as pool:
        grpc.channel_ready_future(channel).result(timeout=_ASK_SECONDS)
        all_answers = pool.map(lambda pair: _ask(scene, channel, flushed, *pair), asked)
        try:
            _flush(scene)
        finally:
            flushed.set()
        answers = Counter(all_answers)
    scene.figures |= {"sent_on": answers["moved"], "let_in": answers["opened"], "asked": len(asked)}


def _ask(scene: Scene, channel: grpc.Channel, now: threading.Event, room: str, relay: str) -> str:
    """What a relay answers whom it does not know, for a room: `opened`, `moved`, or why not."""
    heard = threading.Event()
    now.wait()

    def said() -> Iterator[room_service_pb2.AttachRequest]:
        opening = room_service_pb2.AttachRequest.Open(room_id=room, gateway_id="gateway-stranger", config=_CONFIG)
        yield room_service_pb2.AttachRequest(open=opening)
        heard.wait(_ASK_SECONDS)

    to = (("x-room-id", room), ("x-worldmesh-host", scene.world.addresses["services"][relay]))
    call = room_service_pb2_grpc.RoomServiceStub(channel).Attach(said(), timeout=_ASK_SECONDS, metadata=to)
    try:
        return str(next(iter(call)).WhichOneof("body"))
    except grpc.RpcError as error:
        return str(cast("grpc.Call", error).code())
    finally:
        heard.set()
        call.cancel()


def _kept(result: Result) -> list[str]:
    """Of each room one relay has let the stranger in, and the other has sent it there; nobody was put out."""
    wrong = [f"{result['room_left']} were put out"] if result["room_left"] else []
    for what in ("sent_on", "let_in"):
        if result[what] != result["asked"] / 2:
            wrong.append(f"of {result['asked']} questions {result[what]}: {what}")
    return wrong + _again(result)


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
    return {**_claims(scene, samples), "owners_too_many": owners - len(scene.rooms)}


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
        418,
        "Redis FLUSHALL, and a gateway that is in no room asks each relay for all of them",
        _flush_and_ask,
        f"nobody gets a room that another has; rooms claimed again in a newer era; {NONE_LOST}",
        5000,
        around=(counting(_RELAYS, _claims),),
        check=_kept,
    ),
    Row(
        118,
        "Redis at maxmemory for 5 s",
        _full,
        f"state goes on; ordered refused with LOG_UNAVAILABLE and RetryInfo; nothing false acknowledged; {NONE_LOST}",
        8000,
        seconds=12,
        around=(counting(_RELAYS, woken),),
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
