"""Processes that die, stop or are restarted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, around_mark, counting, risen
from tests.chaos.presence import presence, rebuilt
from tests.support.world import World

from .calls import by_edge, by_mesh, calling
from .row import (
    GATEWAY,
    NONE_LOST,
    PRESENCE,
    RELAY,
    Check,
    Row,
    Scene,
    Setup,
    as_when_calm,
    end,
    just,
    kill,
    pid_of,
    stop,
    whole,
)


def restart(world: World, name: str) -> None:
    """Ends a process and waits until the one that takes its place is ready."""
    before = pid_of(world, name)
    os.kill(before, signal.SIGTERM)
    limit = time.monotonic() + 60
    while Path(f"/proc/{before}").exists():  # to ask the world takes a good part of a processor, which others need
        if time.monotonic() > limit:
            raise TimeoutError(f"{name} does not end")
        time.sleep(0.2)
    pid_of(world, name)


ROLLED = ("relay", "gateway", "presence")
"""Services of which there are two. Of identity and world there is one: what it does can not be done while it starts."""


def roll(scene: Scene) -> None:
    """Restarts all relays, then all gateways, then presence, one after another, and has both Envoys succeeded."""
    whole(scene.world)
    scene.mark()
    for service in ROLLED:
        for number in range(2):
            restart(scene.world, f"{service}-{number}")
    for envoy in ("envoy-mesh", "envoy-edge"):
        whole(scene.world)
        scene.world.command("succeed", envoy)


PATIENCE = 25
PATIENT = Setup(overrides={"gateway": {"WORLDMESH_DRAIN_SECONDS": str(PATIENCE)}})
"""A gateway that ends lets its clients move over as long as it does in production."""


def no_call_fails(result: Result) -> list[str]:
    """By the mesh and by the edge, calls were made all the time, and none failed."""
    wrong = []
    for way in ("mesh", "edge"):
        if failed := result[f"{way}_failed_calls"]:
            wrong.append(f"{failed} calls by the {way} failed: {result[f'{way}_failed_why']}")
        if not result[f"{way}_calls"]:
            wrong.append(f"nothing was called by the {way}")
    return wrong


TWO_TICKS_MS = 100
BUSY_MS = 500
"""By how much more than two ticks state may be late, at most, on a machine that is busy: see `current`."""


def current(live_ms: float) -> Check:
    """At each gateway rooms live again in time, and state is current within two ticks of that. What the machine needs
    for everything else is allowed besides: how late steps were seen before the fault (p99), when nothing else made them
    late; but half a second at most, more would hide what is to be seen."""

    def check(result: Result) -> list[str]:
        wrong = []
        busy = min(result["calm_step_p99_ms"], BUSY_MS)
        for number, there in enumerate(result["by_gateway"]):
            live, silence = there["live_p99_ms"], there["state_silence_p99_ms"]
            if live > live_ms:
                wrong.append(f"at gateway-{number} rooms lived again after {live:.0f} ms, not {live_ms:.0f}")
            if silence > (most := live + TWO_TICKS_MS + busy):
                wrong.append(f"at gateway-{number} there was no state for {silence:.0f} ms, not {most:.0f}")
        return wrong

    return check


RELAYS = ("relay-0", "relay-1")
LOST = ("fenced", "taken", "lease lost")
"""Why a relay ends a room that is not its own any more."""


def woken(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How many rooms relays have ended because they had lost them, by why, and how many those relays had before."""
    figures = dict.fromkeys((*(f"ended: {why}" for why in LOST), "had"), 0.0)
    told = [s for s in samples if len(s.values) == len(RELAYS)]
    before = [s for s in told if s.at < scene.load.marked]
    for relay in RELAYS:
        first, last = before[-1].values[relay], told[-1].values[relay]
        names = {why: f'worldmesh_relay_room_ends_total{{why="{why}"}}' for why in LOST}
        ended = {why: last.get(name, 0.0) - first.get(name, 0.0) for why, name in names.items()}
        for why, count in ended.items():
            figures[f"ended: {why}"] += count
        if any(ended.values()):
            figures["had"] += first["worldmesh_relay_rooms"]
    return figures


def all_ended(result: Result) -> list[str]:
    """The relay that wakes up has ended all its rooms: it tried to write and was fenced, or found that they were taken
    or that its lease was over."""
    ended = sum(result[f"ended: {why}"] for why in LOST)
    return [] if ended == result["had"] > 0 else [f"of the {result['had']:.0f} rooms that it had it ended {ended:.0f}"]


CLAIMS = 'worldmesh_relay_claims_total{outcome="%s"}'


def claimed(scene: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How many rooms relays have claimed after the mark that were free, and that another had who did not answer."""
    since = around_mark(samples, scene.load.marked)
    return {"claimed": risen(since, CLAIMS % "granted"), "by_force": risen(since, CLAIMS % "stolen")}


def handed_over(result: Result) -> list[str]:
    """The relay that ended has given its rooms away: nobody had to find that it is gone."""
    wrong = [] if result["claimed"] + result["by_force"] else ["it had no rooms"]
    return wrong + ([f"rooms taken by force {result['by_force']:.0f}"] if result["by_force"] else [])


LEASE_MS = 8_000
"""How long presence keeps the sessions of a gateway that is gone."""


def gone_once(result: Result) -> list[str]:
    """Those who do not come back are said to be offline once, and nobody else is."""
    dead = len(result["dead"] or [])
    wrong = [f"{what} {result[what]}" for what in ("flapped", "back_once", "gone_wrong") if result[what]]
    if not dead:
        wrong.append("nobody stayed away")
    if result["expired_ms"] > LEASE_MS + 2000:
        wrong.append(f"the last of them after {result['expired_ms']:.0f} ms")
    return wrong


def nobody_flaps(result: Result) -> list[str]:
    """Nobody is said to be offline, and whoever asks for it soon hears who is online."""
    wrong = [f"{what} {result[what]}" for what in ("flapped", "back_once", "gone_once", "said_offline") if result[what]]
    if not result["rebuilt_ms"]:
        wrong.append("presence was not away")
    return wrong + ([f"presence knew all after {result['rebuilt_ms']:.0f} ms"] if result["rebuilt_ms"] > 5000 else [])


STATE_MS = 3000
"""How long no state may come while state is to go on: of a busy machine, and much less than the fault lasts."""


def timely(result: Result) -> list[str]:
    """State goes on; some of what is ordered is refused (that all are told when to try again goes for every row); no
    relay has lost its lease."""
    wrong = [] if result["refused"] else ["nothing was refused"]
    wrong += [f"{n:.0f} rooms were ended: {why}" for why in LOST if (n := result[f"ended: {why}"])]
    if (silence := result["state_silence_p99_ms"]) > STATE_MS:
        wrong.append(f"there was no state for {silence:.0f} ms")
    return wrong


SPREAD_MS = 0.9 * 0.75 * 1000 * PATIENCE
"""Over how long a gateway that ends tells its clients to move, at least: it means three quarters of its time."""


def told_to_move(result: Result) -> list[str]:
    """All who came back were told to, and not all at once, and nobody was said to be offline."""
    told, spread = result["told_to_move"], result["move_spread_ms"]
    wrong = [] if told >= result["reconnects"] > 0 else [f"{told} were told to move, {result['reconnects']} did"]
    wrong += [f"{what} {result[what]}" for what in ("flapped", "back_once", "gone_once") if result[what]]
    return wrong + ([f"all were told within {spread:.0f} ms"] if spread < SPREAD_MS else [])


ROWS = (
    Row(
        1,
        "relay `kill -9`",
        kill(RELAY),
        f"rooms live again ≤ 1 s, nobody waits longer than 3 s; state current two ticks later; {NONE_LOST}",
        1000,
        longest_ms=3000,
        check=current(1000),
    ),
    Row(
        2,
        "relay SIGSTOP 10 s, then SIGCONT",
        stop(RELAY, 10),
        f"new owner ≤ 6 s; the woken one can write nothing, and ends its rooms; {NONE_LOST}",
        6000,
        seconds=16,
        around=(counting(RELAYS, woken),),
        check=all_ended,
    ),
    Row(
        104,
        "relay SIGTERM",
        end(RELAY),
        f"its rooms are handed over ≤ 1 s, none is taken by force, nobody waits longer than 3 s; {NONE_LOST}",
        1000,
        longest_ms=3000,
        seconds=8,
        around=(counting(RELAYS, claimed),),
        check=handed_over,
    ),
    Row(
        7,
        "gateway `kill -9`",
        kill(GATEWAY),
        f"clients resume elsewhere; presence says offline once, within its lease, of those who don't; {NONE_LOST}",
        6000,
        seconds=12,
        reconnects=1,
        crowd={"mortal": 1},
        around=(presence,),
        check=gone_once,
    ),
    Row(
        8,
        "gateway SIGTERM",
        end(GATEWAY),
        f"clients are told to move, spread over three quarters of the {PATIENCE} s that it has, and stay online; "
        f"{NONE_LOST}",
        6000,
        seconds=PATIENCE + 3,
        reconnects=1,
        setup=PATIENT,
        around=(presence,),
        check=told_to_move,
    ),
    Row(
        13,
        "presence `kill -9`",
        kill(PRESENCE),
        f"rebuilt from gateways ≤ 5 s; nobody flaps; rooms notice nothing; {NONE_LOST}",
        3000,
        seconds=10,
        around=(presence, rebuilt),
        check=lambda result: nobody_flaps(result) + as_when_calm(result),
    ),
    Row(
        17,
        "Redis stopped for 10 s",
        stop(just("valkey"), 10),
        f"state goes on, no room is lost; ordered refused with RetryInfo; nothing false acknowledged; {NONE_LOST}",
        15000,
        seconds=18,
        around=(counting(RELAYS, woken),),
        check=timely,
    ),
    Row(
        26,
        "rolling restart of relays, gateways, presence and both Envoys",
        roll,
        f"0 failed calls by the mesh and by the edge; {NONE_LOST}; clients move at most once a gateway, and who "
        "moves is answered ≤ 6 s",
        6000,
        reconnects=2,
        setup=PATIENT,
        around=(calling(by_mesh, "mesh_"), calling(by_edge, "edge_")),
        check=no_call_fails,
    ),
)
