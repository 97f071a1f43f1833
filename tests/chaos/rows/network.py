"""Networks that stall, lose, delay and cut."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, around_mark, counting, risen
from tests.chaos.network import Link
from tests.chaos.presence import presence
from tests.chaos.second_mesh import second_mesh

from .row import NONE_LOST, Check, Fault, Row, Scene, Setup, as_when_calm
from .signals import timely, woken

RELAYS, GATEWAYS = ("relay-0", "relay-1"), ("gateway-0", "gateway-1")
TO_REDIS = tuple(Link(relay, "redis") for relay in RELAYS)
TO_MESH = tuple(Link(gateway, "mesh") for gateway in GATEWAYS)
TO_GATEWAYS = tuple(Link("clients", gateway) for gateway in GATEWAYS)

SERVERS = Setup(links=(*TO_REDIS, *TO_MESH))
"""The network between the processes may be bad."""
CLIENTS = Setup(links=TO_GATEWAYS)
"""The network between clients and gateways may be bad."""

WAY = Link("gateway-1", "relay-0")
APART = Setup(links=(WAY,), beside=second_mesh([WAY.source], [WAY.target]))
"""One gateway has a mesh of its own, whose network to one relay may be bad."""

TO_PRESENCE = tuple(Link("gateway-1", presence) for presence in ("presence-0", "presence-1"))
NOT_SEEN = Setup(links=TO_PRESENCE, beside=second_mesh(["gateway-1"], [link.target for link in TO_PRESENCE]))
"""The same, to presence."""

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
        scene.figures["cut_off"] = [link.source for link in links]
        with scene.strikes():
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


DELAY_MS = 100
"""One way."""


def delays(scene: Scene, link: str) -> None:
    """200 ms there and back."""
    scene.network.delay(link, DELAY_MS)


def loses(scene: Scene, link: str) -> None:
    """2 % of packets, and now and then the connection."""
    scene.network.lose(link, share=0.02, resets=0.05, seed=scene.rng.randrange(1 << 30))


@contextmanager
def losses(scene: Scene) -> Iterator[None]:
    """How many packets were lost."""
    before = scene.network.packets_lost
    yield
    scene.figures["packets_lost"] = scene.network.packets_lost - before


def some_lost(result: Result) -> list[str]:
    """The network was as bad as it should be."""
    return [] if result["packets_lost"] else ["no packet was lost"]


def ends(scene: Scene, link: str) -> None:
    """All connections end, and new ones are refused."""
    scene.network.cut(link)


def thin(scene: Scene, link: str) -> None:
    """1 KB/s a connection: less than is said in a room."""
    scene.network.slow(link, 1, "down")


def narrow(scene: Scene, link: str) -> None:
    """8 KB/s a connection: of those to Redis a relay has several."""
    scene.network.slow(link, 8)


def slows(scene: Scene, link: str) -> None:
    """16 KB/s a connection, which all rooms of a gateway share: a fraction of what comes."""
    scene.network.slow(link, 16)


def fenced_ms(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """Until the relay ended its rooms because it had not heard from Redis."""
    lost = 'worldmesh_relay_room_ends_total{why="lease lost"}'
    ends = [s.at for s in samples if s.total(lost) > samples[0].total(lost)]
    return {"fenced_ms": (ends[0] - scene.load.marked) * 1000 if ends else -1.0}


def fenced(result: Result) -> list[str]:
    """At two thirds of the lease, counted from the newest renewal: there is one in each twelfth."""
    after, most = result["fenced_ms"], LEASE_MS * 2 / 3 + 1000
    least = LEASE_MS * (2 / 3 - 1 / 12) - 500
    if after < 0:
        return ["the relay never fenced itself"]
    return [] if least <= after <= most else [f"fenced after {after:.0f} ms, not {least:.0f} to {most:.0f}"]


def delayed(steps_by_ms: float) -> Check:
    """Answers take as long as the delay at least, or there was none; steps are seen within twice the time that they
    took before, and so much more."""

    def check(result: Result) -> list[str]:
        answered = result["live_p50_ms"]
        wrong = [] if answered >= 2 * DELAY_MS else [f"answers came after {answered:.0f} ms, as if there were no delay"]
        return wrong + as_when_calm(result, steps_by_ms)

    return check


def expire_once(result: Result) -> list[str]:
    """The users of one gateway are said to be offline once and online again once, and nobody else is."""
    wrong = [f"{what} {result[what]}" for what in ("flapped", "gone_once") if result[what]]
    back, its_own = result["back_once"], result["clients"] / len(GATEWAYS)
    if not 0.9 * its_own <= back <= 1.1 * its_own:  # some may be in by the other than they were told of
        wrong.append(f"{back:.0f} users were said to be offline, and online again, and {its_own:.0f} are at a gateway")
    return wrong


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


def reads_slowly(scene: Scene) -> None:
    """Some of each room read nothing for a while, or 1 KB/s."""
    scene.mark()
    scene.load.tell("slow")
    time.sleep(25)
    scene.load.tell("unslow")


def dropped(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """What gateways did not send to those who read slowly, and by how many MB they grew."""
    first, last = samples[0], samples[-1]
    memory = "process_resident_memory_bytes"
    grown = [s.values[g][memory] - first.values[g][memory] for s in samples for g in s.values]
    drops = 'worldmesh_gateway_queue_drops_total{channel="%s"}'
    return {
        "dropped_state": last.total(drops % "state") - first.total(drops % "state"),
        "slow_closed": last.total(drops % "ordered") - first.total(drops % "ordered"),
        "grown_mb": round(max(grown) / 1e6, 1),
    }


LATE_MS = 500


def late(result: Result) -> list[str]:
    """Steps are seen late: the network was as bad as it should be."""
    calm, now = result["calm_step_p99_ms"], result["step_p99_ms"]
    return [] if now >= calm + LATE_MS else [f"steps were seen after {now:.0f} ms, and {calm:.0f} ms before"]


APPENDS = "worldmesh_relay_append_seconds"


def appends(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How long a write to a log took, on average, before the mark and after it."""
    marked = scene.load.marked
    parts = {"before": [s for s in samples if s.at < marked], "then": around_mark(samples, marked)}
    return {
        f"append_ms_{when}": round(1000 * risen(some, f"{APPENDS}_sum") / max(1, risen(some, f"{APPENDS}_count")), 1)
        for when, some in parts.items()
    }


SLOWER_MS = 5


def slower(result: Result) -> list[str]:
    """Writes to logs took longer than before: what is said meanwhile goes with the next."""
    before, then = result["append_ms_before"], result["append_ms_then"]
    return [] if then >= before + SLOWER_MS else [f"a write to a log took {then} ms, and {before} ms before"]


MEMORY_MB = 64


def undisturbed(result: Result) -> list[str]:
    """The others see steps as soon as ever; what is dropped is counted; memory is bounded."""
    wrong = [] if result["dropped_state"] else ["no state was dropped"]
    wrong += as_when_calm(result)
    if result["grown_mb"] > MEMORY_MB:
        wrong.append(f"a gateway grew by {result['grown_mb']} MB")
    return wrong


@contextmanager
def others(scene: Scene) -> Iterator[None]:
    """How those fared who were at a gateway whose links were well."""
    yield
    well = [
        figures
        for name, figures in zip(GATEWAYS, scene.result["by_gateway"], strict=True)
        if name not in scene.figures["cut_off"]
    ]
    scene.figures |= {f"others_{what}": max(g[what] for g in well) for what in ("live_p99_ms", "state_silence_p99_ms")}


OTHERS_MS = 1000


def unharmed(result: Result) -> list[str]:
    """The others speak and see as ever."""
    return [
        f"at the other gateway {what} {result[key]:.0f} ms"
        for key, what in (
            ("others_live_p99_ms", "rooms lived again after"),
            ("others_state_silence_p99_ms", "there was no state for"),
        )
        if result[key] > OTHERS_MS
    ]


def overflown(result: Result) -> list[str]:
    """Some sockets were closed, for what is ordered did not fit into their queues, and missed more than a log holds."""
    wrong = [] if result["slow_closed"] else ["nobody's queue was too small"]
    return wrong + ([] if result["gaps"] else ["nobody was told of a gap"])


SMALL_QUEUES = Setup(overrides={"gateway": {"WORLDMESH_GATEWAY_QUEUE_BYTES": str(16 << 10)}})
"""Gateways let little wait for a client."""

STAY = {"patience": 60}
"""Clients who do not look for another gateway by themselves."""


def noticed(seconds: float) -> Check:
    """Some have waited about as long as the link was bad: the fault was there."""

    def check(result: Result) -> list[str]:
        waited = result["longest_ms"]
        return [] if waited > 500 * seconds else [f"nobody waited for longer than {waited:.0f} ms"]

    return check


def noticed_there(seconds: float) -> Check:
    """The same, and those at the other gateway see nothing of it."""
    here = noticed(seconds)
    return lambda result: here(result) + unharmed(result)


def told(result: Result) -> list[str]:
    """Clients of a gateway that reaches no relay are told that the room is not there."""
    return [] if result["room_left"] else ["nobody was told"]


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
        "relay cut from one gateway only",
        during(each((WAY,)), stalls, 12),
        f"that gateway's members go on when it is back; the others see nothing; {NONE_LOST}",
        16_000,
        seconds=18,
        setup=APART,
        crowd=STAY,
        around=(others,),
        check=noticed_there(12),
    ),
    Row(
        9,
        "sockets that read nothing, or 1 KB/s",
        reads_slowly,
        f"the others' p99 ≤ 2 × calm; memory grows ≤ {MEMORY_MB} MB; only state is dropped, and counted; {NONE_LOST}",
        3000,
        seconds=30,
        crowd={"slow": [0, 0, 1024, 1024]},
        around=(counting(GATEWAYS, dropped),),
        check=undisturbed,
    ),
    Row(
        109,
        "sockets that read nothing while more is said than their queues hold (16 KB)",
        reads_slowly,
        f"they are closed (4001), come back, and what is missed is told with `gap`; beside that {NONE_LOST}",
        3000,
        seconds=30,
        gaps=True,
        setup=SMALL_QUEUES,
        # More than a client is told of what it has missed (128 KB), in few messages: no machine has too much to do.
        crowd={"slow": [0, 0], "words": 8, "letters": 1000, "rate": 1, "gaps": True},
        around=(counting(GATEWAYS, dropped),),
        check=overflown,
    ),
    Row(
        10,
        "half-open sockets",
        during(one(TO_GATEWAYS), stalls, 14),
        f"found ≤ 12 s; clients come back by another gateway, and the others see nothing; {NONE_LOST}",
        20_000,
        seconds=18,
        reconnects=1,
        setup=CLIENTS,
        around=(counting(GATEWAYS, found_ms),),
        check=found,
    ),
    Row(
        14,
        "gateway cut from the mesh for longer than presence waits",
        during(one(TO_MESH), stalls, 18),
        f"its users expire once, and come back once; {NONE_LOST}",
        25_000,
        seconds=26,
        setup=SERVERS,
        crowd=STAY,
        around=(presence,),
        check=expire_once,
    ),
    Row(
        114,
        "gateway cut from presence alone",
        during(each(TO_PRESENCE), stalls, 22),
        f"its users expire once, and come back once; rooms notice nothing; {NONE_LOST}",
        3000,
        seconds=30,
        setup=NOT_SEEN,
        around=(presence,),
        check=lambda result: expire_once(result) + as_when_calm(result),
    ),
    Row(
        117,
        "Redis is down for 10 s: connections end, and new ones are refused",
        during(each(TO_REDIS), ends, 10),
        f"state goes on, no room is lost; ordered refused with RetryInfo; nothing false acknowledged; {NONE_LOST}",
        15_000,
        seconds=18,
        setup=SERVERS,
        around=(counting(RELAYS, woken),),
        check=timely,
    ),
    Row(
        130,
        "gateway cut from the mesh",
        during(one(TO_MESH), stalls, 10),
        f"its members go on when it is back; the others see nothing; {NONE_LOST}",
        12_000,
        seconds=16,
        setup=SERVERS,
        crowd=STAY,
        around=(others,),
        check=noticed_there(10),
    ),
    Row(
        131,
        "gateway cut from the mesh for long",
        during(one(TO_MESH), stalls, 26),
        f"its members are told after 20 s, and come back to the room when it is back; {NONE_LOST}",
        35_000,
        seconds=34,
        gaps=True,
        setup=SERVERS,
        crowd=STAY,
        check=told,
    ),
    Row(
        132,
        "gateway cut from the mesh, and clients who go elsewhere when they hear nothing for 7 s",
        during(one(TO_MESH), stalls, 15),
        f"they hear pongs, and stay; all go on when it is back; the others see nothing; {NONE_LOST}",
        25_000,
        seconds=20,
        setup=SERVERS,
        around=(others,),
        check=noticed_there(15),
    ),
    Row(
        133,
        "gateway's connections to the mesh end, and new ones are refused for 5 s",
        during(one(TO_MESH), ends, 5),
        f"its members go on when it is back; the others see nothing; {NONE_LOST}",
        8000,
        seconds=12,
        setup=SERVERS,
        around=(others,),
        check=noticed_there(5),
    ),
    Row(
        134,
        "200 ms more between gateways and the mesh, there and back",
        during(each(TO_MESH), delays, 10),
        f"everything is later by as much, nothing else; {NONE_LOST}",
        3000,
        seconds=12,
        setup=SERVERS,
        check=delayed(2 * DELAY_MS),
    ),
    Row(
        135,
        "2 % loss between gateways and the mesh",
        during(each(TO_MESH), loses, 10),
        f"stalls of 200 ms and more; streams open again; the others see nothing; {NONE_LOST}",
        8000,
        seconds=14,
        setup=SERVERS,
        around=(losses,),
        check=some_lost,
    ),
    Row(
        144,
        "slow links between gateways and the mesh (16 KB/s)",
        during(each(TO_MESH), slows, 10),
        f"everything is late by what waits on the way; {NONE_LOST}",
        12_000,
        longest_ms=16_000,
        seconds=18,
        setup=SERVERS,
        check=late,
    ),
    Row(
        136,
        "200 ms more between relays and Redis, there and back",
        during(each(TO_REDIS), delays, 10),
        f"what is ordered is later by as much; steps are as ever; {NONE_LOST}",
        3000,
        seconds=12,
        setup=SERVERS,
        check=delayed(0),
    ),
    Row(
        137,
        "2 % loss between relays and Redis",
        during(each(TO_REDIS), loses, 10),
        f"what is ordered stalls now and then; steps are as ever; {NONE_LOST}",
        6000,
        seconds=14,
        setup=SERVERS,
        around=(losses,),
        check=lambda result: some_lost(result) + as_when_calm(result),
    ),
    Row(
        138,
        "Redis takes what relays write and does not answer for 5 s",
        during(each(TO_REDIS), swallows, 5),
        f"what is ordered waits or is refused with RetryInfo, and is not written twice; {NONE_LOST}",
        8000,
        seconds=12,
        setup=SERVERS,
        check=noticed(5),
    ),
    Row(
        139,
        "slow links between relays and Redis (8 KB/s)",
        during(each(TO_REDIS), narrow, 10),
        f"what is ordered gathers into larger writes, or is refused with RetryInfo; {NONE_LOST}",
        12_000,
        seconds=16,
        setup=SERVERS,
        around=(counting(RELAYS, appends),),
        check=slower,
    ),
    Row(
        140,
        "200 ms more between clients and gateways, there and back",
        during(each(TO_GATEWAYS), delays, 10),
        f"everything is later by as much, nothing else; {NONE_LOST}",
        3000,
        seconds=12,
        setup=CLIENTS,
        check=delayed(2 * DELAY_MS),
    ),
    Row(
        141,
        "2 % loss between clients and gateways",
        during(each(TO_GATEWAYS), loses, 10),
        f"stalls; who loses the connection comes back, and the others see nothing; {NONE_LOST}",
        8000,
        seconds=14,
        reconnects=20,
        setup=CLIENTS,
        around=(losses,),
        check=some_lost,
    ),
    Row(
        142,
        "slow links between clients and gateways (1 KB/s)",
        during(each(TO_GATEWAYS), thin, 12),
        f"everything is late; who reads too slowly for what is ordered comes back later; {NONE_LOST}",
        20_000,
        seconds=18,
        reconnects=2,
        setup=CLIENTS,
        check=late,
    ),
    Row(
        143,
        "relay cut from one gateway only, for long",
        during(each((WAY,)), stalls, 26),
        f"that gateway's members are told after 20 s, and come back when it is back; {NONE_LOST}",
        35_000,
        seconds=34,
        gaps=True,
        setup=APART,
        crowd=STAY,
        check=told,
    ),
)
