"""More comes than there is room for."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from tests.chaos.generator import PROGRAM, Result, background
from tests.chaos.metrics import Sample, counting
from tests.chaos.probe import hello
from tests.support.world import World

from .row import GATEWAY, NONE_LOST, Fault, Row, Scene, Setup, as_when_calm, pid_of

OVERLOADED = 4100
_COMERS = 200
_AT_ONCE = 32


@contextmanager
def _few_descriptors(pid: int) -> Iterator[None]:
    """The process may have no more files open than it has now."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    greatest = max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (greatest + 1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def _come(url: str, tls: ssl.SSLContext, token: str, stay: AsyncExitStack) -> str:
    """Open a socket: how that ended. One that is let in stays."""
    try:
        await stay.enter_async_context(hello(url, tls, token))
    except ConnectionClosed as error:
        return str(error.rcvd.code) if error.rcvd else "cut"
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    return "let in"


async def _crowd(world: World, url: str, pid: int, token: str) -> tuple[Counter[str], str]:
    """Many come while there are no descriptors, and one comes afterwards: how that ended."""
    tls = ssl.create_default_context(cafile=world.addresses["ca"])
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def come() -> str:
        async with at_once:
            return await _come(url, tls, token, stay)

    async with AsyncExitStack() as stay:
        with _few_descriptors(pid):
            ends = Counter(await asyncio.gather(*(come() for _ in range(_COMERS))))
        return ends, await _come(url, tls, token, stay)


def _out_of_descriptors(scene: Scene) -> None:
    """A gateway may open no more files, and many come."""
    world, name = scene.world, GATEWAY(scene.rng)
    url = str(world.addresses["gateways_wss"][int(name.rpartition("-")[2])])
    token = world.guest("comer").access_token
    scene.mark()
    ends, after = asyncio.run(_crowd(world, url, pid_of(world, name), token))
    scene.figures |= {
        "turned_away": ends.pop(str(OVERLOADED), 0),
        "let_in": ends.pop("let in", 0),
        "unheard": ends.total(),
        "unheard_why": dict(ends),
        "let_in_after": after == "let in",
    }


def _turned_away(result: Result) -> list[str]:
    wrong = [f"{result['unheard']} heard nothing: {result['unheard_why']}"] if result["unheard"] else []
    wrong += [] if result["turned_away"] else ["nobody was turned away"]
    return wrong + ([] if result["let_in_after"] else ["when there were descriptors again nobody was let in"])


def _told(command: str) -> Fault:
    """Has the crowd do something at once."""

    def fault(scene: Scene) -> None:
        scene.mark()
        scene.load.tell(command)

    return fault


def _memory(_: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How much memory both gateways take, in MB: before, and at most."""
    used = [s.total("process_resident_memory_bytes") / 2**20 for s in samples]
    return {"gateways_mb_before": round(used[0], 1), "gateways_mb": round(max(used), 1)}


_MEMORY = counting(("gateway-0", "gateway-1"), _memory)


def _all_back(result: Result) -> list[str]:
    wrong = [f"{result['away']} of {result['clients']} are not back"] if result["away"] else []
    if result["back_after_ms"] > _BACK_MS:
        wrong.append(f"all were back after {result['back_after_ms']:.0f} ms")
    if (kb := 1024 * result["gateways_mb"] / result["clients"]) > _KB_A_CLIENT + _FIXED_MB * 1024 / result["clients"]:
        wrong.append(f"gateways take {kb:.0f} KB a client")
    return wrong


def _all_in(result: Result) -> list[str]:
    sent_away = [f"{result['room_left']} were sent away"] if result["room_left"] else []
    return _all_back(result) + sent_away + as_when_calm(result)


_BUSY_SECONDS, _REST_SECONDS = 10, 16


def _full_room(scene: Scene) -> None:
    """A room at gateways that a program plays, straight at the relay: as many sockets as it takes would take the
    processor from the relay."""
    where = scene.world.addresses
    plan = {
        "mesh": where["mesh"],
        "certs": str(Path(where["certs"]) / "gateway"),
        "room": f"room_full_{scene.rng.getrandbits(32)}",
        **_FULL,
        "busy": _BUSY_SECONDS,
        "rest": _REST_SECONDS,
    }
    with background([PROGRAM, "full"]) as full:
        try:
            assert full.stdin is not None
            assert full.stdout is not None
            full.stdin.write(json.dumps(plan))
            full.stdin.close()
            scene.figures["full"] = json.loads(full.stdout.readline())
            scene.mark()
            scene.figures["full"] = json.loads(full.stdout.readline() or "{}")
            scene.rest()
            if full.wait(timeout=_REST_SECONDS + 30):
                raise RuntimeError("the full room's gateways failed")
        finally:
            full.kill()
    scene.figures |= {f"full_{what}": value for what, value in scene.figures["full"].items()}


def _tempo(_: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How many rooms ticked more slowly at most, and still in the end, when the room has a member who walks."""
    slowed = [s.total("worldmesh_relay_rooms_slowed") for s in samples]
    halvings = [s.total("worldmesh_relay_slowdowns_total") for s in samples]
    return {"rooms_slowed": max(slowed), "halvings": halvings[-1] - halvings[0], "still_slowed": slowed[-1]}


def _by_rule(result: Result) -> list[str]:
    wrong = as_when_calm(result)
    if result["rooms_slowed"] != 1:
        wrong.append(f"{result['rooms_slowed']:.0f} rooms ticked more slowly, not one")
    if result["halvings"] < _HALVINGS:
        wrong.append(f"the room cost too little: it was slowed down {result['halvings']:.0f} times")
    if result["still_slowed"]:
        wrong.append("the room does not tick as fast as it should when it has become quiet")
    return wrong


# A room that is slowed down this often takes half of a core and more even at half its tempo.
_HALVINGS = 2

_BACK_MS = 15_000
# How many sockets there are for each member, each in another room: as many as shake hands and join within that time on
# two slow cores that the generator shares. A machine with more can try more.
USUAL_CROWD = 2
CROWD = int(os.environ.get("WORLDMESH_CHAOS_CROWD", str(USUAL_CROWD)))
# What gateways may take: for a client twice what one costs that is in and still, with TLS; a base for both of them.
_KB_A_CLIENT, _FIXED_MB = 50, 150
_FULL = {"side": 120, "tick_hz": 60, "gateways": 4, "members": 500, "rate": 8, "looks": 4}
# All come from one address here.
_ROOMY = Setup(overrides={"gateway": {"WORLDMESH_GATEWAY_SOCKETS_PER_ADDRESS": "0"}})

ROWS = (
    Row(
        12,
        "gateway out of file descriptors",
        _out_of_descriptors,
        f"new sockets are closed with 4100 (come back later), old ones unharmed; {NONE_LOST}",
        3000,
        check=_turned_away,
    ),
    Row(
        11,
        f"everybody loses the connection at once, and comes back: {CROWD} sockets for each member (20 × 50: "
        f"{1000 * CROWD:,})",
        _told("drop"),
        f"all {1000 * CROWD:,} are back ≤ 15 s; {NONE_LOST}",
        _BACK_MS,
        seconds=16,
        reconnects=2,
        setup=_ROOMY,
        crowd={"copies": CROWD, "rate": 0.05, "words": 0.5},
        around=(_MEMORY,),
        check=_all_back,
    ),
    Row(
        211,
        f"as many as are in come at once (20 × 50: {1000 * (CROWD - 1):,})",
        _told("come"),
        f"all {1000 * (CROWD - 1):,} are in ≤ 15 s; nobody is sent away; memory of gateways bounded; "
        f"the others' p99 ≤ 2 × calm; {NONE_LOST}",
        _BACK_MS,
        seconds=16,
        reconnects=1,  # to come for the first time counts, too
        comings=True,
        setup=_ROOMY,
        # They hardly walk: twice as many who see each other walk are more than these cores can do, whoever comes.
        crowd={"copies": CROWD, "late": CROWD - 1, "rate": 0.01, "words": 0.5},
        witnesses=3,  # of whom one stands still
        around=(_MEMORY,),
        check=_all_in,
    ),
    Row(
        6,
        f"a room of {_FULL['gateways'] * _FULL['members']:,} that costs more than a relay gives a room",
        _full_room,
        f"it ticks more slowly until it is quiet; others' steps are seen within 2 × calm (p99); {NONE_LOST}",
        3000,
        seconds=1,
        setup=Setup(),  # its members are held for a while
        crowd={"rate": 0.1},  # what they cost is not what it is about
        witnesses=3,
        around=(counting(("relay-0", "relay-1"), _tempo),),
        check=_by_rule,
    ),
)
