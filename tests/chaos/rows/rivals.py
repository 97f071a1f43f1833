"""Two relays that both have a room."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, counting, risen, sample
from tests.chaos.network import Link
from tests.chaos.second_mesh import second_mesh
from tests.support.world import ROOT

from .row import NONE_LOST, Row, Scene, Setup
from .signals import RELAYS, all_ended, woken

OLD, NEW = RELAYS
GATEWAY = "gateway-0"
TO_OLD, TO_NEW, TO_REDIS = Link(GATEWAY, OLD), Link(GATEWAY, NEW), Link(OLD, "redis")
TORN = Setup(
    overrides={"relay": {"WORLDMESH_RELAY_LEASE": "60s"}},
    links=(TO_OLD, TO_NEW, TO_REDIS),
    beside=second_mesh([GATEWAY, NEW], [OLD, NEW]),
)
"""One gateway and one relay have a mesh of their own, and its network to relays may be bad; the other gateway and the
other relay have the world's, but that one's network to Redis may be bad. Leases are longer than is usual, so that a
relay which is cut from Redis does not fence itself before a busy machine has come to what is to be seen."""

ROOMS = "worldmesh_relay_rooms"
STALE = "worldmesh_gateway_stale_epochs_total"
IGNORANT_S = 30.0
"""For how long the old relay may be kept from Redis: then its lease is over by its own clock (40 s, but for the 7.5 s
between two renewals), and it ends its rooms for that."""
KNOWS_S = 9.0
"""How soon it ends them when it reaches Redis again: at once where it has something to write, or else when it renews
its lease."""


def _torn(scene: Scene) -> None:
    """The network is torn: on one side a gateway and a relay, on the other a gateway and a relay that has rooms and
    hears nothing of Redis. The first relay takes those, for whoever has them does not answer; the other does not know,
    and has its members walk there. Then the first gateway reaches nobody but the old relay, which says that the rooms
    are there. At last that relay reaches Redis again, and is the first to try to write."""
    network, has, end = scene.network, len(scene.rooms), time.monotonic() + IGNORANT_S
    with httpx.Client(timeout=1) as http:
        with scene.strikes():
            network.cut(TO_REDIS.name)
            network.stall(TO_OLD.name)
        _wait(end, lambda: sample(http, scene, [NEW]).total(ROOMS) >= 0.9 * has)  # it may give some away again
        scene.figures["both_had"] = both = sample(http, scene, RELAYS).total(ROOMS) - has
        before = sample(http, scene, [GATEWAY]).total(STALE)
        network.cut(TO_NEW.name)
        network.heal(TO_OLD.name)
        _wait(end, lambda: sample(http, scene, [GATEWAY]).total(STALE) - before >= both)
        network.stall(TO_OLD.name)
        network.heal(TO_NEW.name, TO_REDIS.name)
        _wait(time.monotonic() + KNOWS_S, lambda: sample(http, scene, RELAYS).total(ROOMS) <= has)
    network.heal()


def _wait(end: float, holds: Callable[[], bool]) -> None:
    """Until something is so, or the time is over: the figures tell."""
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)


def _stale(_: Scene, samples: Sequence[Sample]) -> dict[str, float]:
    """How often a gateway was told by a relay that it has a room, and knew better."""
    return {"stale_epochs": risen(samples, STALE)}


def _both_had(result: Result) -> list[str]:
    """Two relays had rooms at the same time, a gateway was told so by the one that had lost them, and that one has
    ended all of them."""
    wrong = []
    if result["both_had"] < (least := max(1.0, result["had"] / 2)):
        wrong.append(f"of {result['had']:.0f} rooms two relays had {result['both_had']:.0f} at once, not {least:.0f}")
    wrong += [] if result["stale_epochs"] > 0 else ["no gateway was told of a room in an epoch that was over"]
    return wrong + all_ended(result)


PROGRAM = ROOT / ".build/chaos/rivals"
_FOUGHT_FOR = 300
_SENT_ON = 0.9
"""In which share of the rooms one gateway must be sent on. In the others one relay may have asked its peer too late."""


def _fight(scene: Scene) -> None:
    """Two gateways send two relays after the same fresh rooms, at the same moment or one a little later."""
    addresses = scene.world.addresses
    seed = scene.rng.getrandbits(32)
    plan = {
        "mesh": addresses["mesh"],
        "certs": str(Path(addresses["certs"]) / "gateway"),
        "relays": [addresses["services"][relay] for relay in RELAYS],
        "rooms": [f"room_rivals_{seed}_{n}" for n in range(_FOUGHT_FOR)],
        "seed": seed,
        "seconds": 60,
    }
    scene.mark()
    done = subprocess.run([PROGRAM], input=json.dumps(plan), capture_output=True, text=True, check=True, timeout=90)
    scene.figures["rivals"] = json.loads(done.stdout)
    scene.figures["rooms_fought_for"] = _FOUGHT_FOR
    # Where an owner was too busy to say that it lives, another may have taken the room: the epoch decides then.
    scene.figures |= {what: scene.figures["rivals"][what] for what in ("both_opened", "sent_on")}


def _one_owner(result: Result) -> list[str]:
    fight = result["rivals"]
    never = ("two_histories", "lost", "twice", "epoch_went_back", "failed")
    wrong = [f"of the rooms fought for {fight[what]}: {what}" for what in never if fight[what]]
    if fight["sent_on"] < _SENT_ON * _FOUGHT_FOR:
        wrong.append(f"of {_FOUGHT_FOR} gateways that came too late {fight['sent_on']} were sent to the other relay")
    return wrong


ROWS = (
    Row(
        5,
        "two relays have the same rooms: the network is torn, and the old owner does not hear that they were taken",
        _torn,
        f"one history; gateways drop by its epoch what the old owner says, who knows of the new one; {NONE_LOST}",
        8000,
        longest_ms=45_000,
        seconds=18,
        setup=TORN,
        crowd={"patience": 60},
        around=(counting(RELAYS, woken), counting((GATEWAY,), _stale)),
        check=_both_had,
    ),
    Row(
        105,
        "two relays are asked for the same fresh rooms at once",
        _fight,
        f"one gets each, and sends the other's gateway there: one history; {NONE_LOST}",
        3000,
        check=_one_owner,
    ),
)
