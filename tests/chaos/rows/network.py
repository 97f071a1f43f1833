"""Networks that stall, lose, delay and cut."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, counting
from tests.chaos.network import Link
from tests.chaos.presence import presence

from .row import NONE_LOST, Fault, Row, Scene, Setup

RELAYS, GATEWAYS = ("relay-0", "relay-1"), ("gateway-0", "gateway-1")
TO_REDIS = tuple(Link(relay, "redis") for relay in RELAYS)
TO_MESH = tuple(Link(gateway, "mesh") for gateway in GATEWAYS)
TO_GATEWAYS = tuple(Link("clients", gateway) for gateway in GATEWAYS)

SERVERS = Setup(links=(*TO_REDIS, *TO_MESH))
"""The network between the processes may be bad."""
CLIENTS = Setup(links=TO_GATEWAYS)
"""The network between clients and gateways may be bad."""

LEASE_MS = 18_000
"""Of relays."""

Bad: TypeAlias = Callable[[Scene, str], None]
"""Makes a link bad."""


def one(links: Sequence[Link]) -> Callable[[random.Random], Sequence[Link]]:
    """One of the links, by the seed."""
    return lambda rng: [rng.choice(links)]


def each(links: Sequence[Link]) -> Callable[[random.Random], Sequence[Link]]:
    """All of them."""
    return lambda _: links


def during(which: Callable[[random.Random], Sequence[Link]], bad: Bad, seconds: float) -> Fault:
    """Makes links bad for a while."""

    def fault(scene: Scene) -> None:
        links = which(scene.rng)
        scene.mark()
        for link in links:
            bad(scene, link.name)
        time.sleep(seconds)
        for link in links:
            scene.network.heal(link.name)

    return fault


def stalls(scene: Scene, link: str) -> None:
    """Nothing gets through, and nobody is told."""
    scene.network.stall(link)


def swallows(scene: Scene, link: str) -> None:
    """Answers do not come back; what is sent arrives."""
    scene.network.stall(link, "down")


def delays(scene: Scene, link: str) -> None:
    """200 ms there and back."""
    scene.network.delay(link, 100)


def loses(scene: Scene, link: str) -> None:
    """2 % of packets, and now and then the connection."""
    scene.network.lose(link, share=0.02, resets=0.05, seed=scene.rng.randrange(1 << 30))


def narrow(scene: Scene, link: str) -> None:
    """32 KB/s a connection."""
    scene.network.slow(link, 32)


def fenced_ms(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """Until the relay ended its rooms because it had not heard from Redis."""
    lost = 'worldmesh_relay_room_ends_total{why="lease lost"}'
    ends = [s.at for s in samples if s.total(lost) > samples[0].total(lost)]
    return {"fenced_ms": (ends[0] - scene.load.marked) * 1000 if ends else -1.0}


def fenced(result: Result) -> list[str]:
    """At two thirds of the lease."""
    most = LEASE_MS * 2 / 3 + 1000
    return [] if 0 <= result["fenced_ms"] <= most else [f"fenced after {result['fenced_ms']:.0f} ms, not {most:.0f}"]


def unseen(result: Result) -> list[str]:
    """The others see nobody come or go."""
    return [f"others saw {result[what]} members who {what}" for what in ("came", "went") if result[what]]


def expire_once(result: Result) -> list[str]:
    """The users of one gateway are said to be offline once and online again once, and nobody else is."""
    wrong = [f"{what} {result[what]}" for what in ("flapped", "gone_once") if result[what]]
    return wrong if result["back_once"] else [*wrong, "nobody was said to be offline"]


HEARTBEATS = 'worldmesh_gateway_closes_total{code="4002"}'
SOCKETS = 'worldmesh_gateway_sockets{dialect="flatbuffers"}'


def found_ms(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """Until the gateway had given up the last socket of which it heard nothing, and how many those were."""
    last, began = samples[-1].total(HEARTBEATS), samples[0].total(HEARTBEATS)
    at = next(s.at for s in samples if s.total(HEARTBEATS) == last)
    return {"found": last - began, "found_ms": (at - scene.load.marked) * 1000}


def found(result: Result) -> list[str]:
    """All half-open sockets are found in time."""
    wrong = (
        [] if result["found"] == result["reconnects"] > 0 else [f"{result['found']} of {result['reconnects']} found"]
    )
    return wrong + ([f"found after {result['found_ms']:.0f} ms"] if result["found_ms"] > 12_000 else [])


ROWS = (
    Row(
        3,
        "relay cut from Redis",
        during(one(TO_REDIS), stalls, 16),
        f"fences itself at 2/3 of its lease (12 s); rooms live again at the other relay ≤ 3 s later; {NONE_LOST}",
        16_000,
        seconds=22,
        setup=SERVERS,
        around=(counting(RELAYS, fenced_ms),),
        check=fenced,
    ),
    Row(
        4,
        "gateway cut from relays",
        during(one(TO_MESH), stalls, 10),
        f"its members go on when it is back, or are told; the others see nothing; {NONE_LOST}",
        15_000,
        seconds=20,
        setup=SERVERS,
        check=unseen,
    ),
    Row(
        10,
        "half-open sockets",
        during(one(TO_GATEWAYS), stalls, 14),
        f"found ≤ 12 s; clients come back by another gateway, and the others see nothing; {NONE_LOST}",
        12_000,
        seconds=18,
        reconnects=1,
        setup=CLIENTS,
        around=(counting(GATEWAYS, found_ms),),
        check=lambda result: found(result) + unseen(result),
    ),
    Row(
        14,
        "gateway cut from presence",
        during(one(TO_MESH), stalls, 18),
        f"its users expire once, and come back once; {NONE_LOST}",
        25_000,
        seconds=26,
        setup=SERVERS,
        around=(presence,),
        check=lambda result: expire_once(result) + unseen(result),
    ),
)
