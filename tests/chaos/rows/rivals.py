"""Two relays claim a room at once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.chaos.generator import Result
from tests.support.world import ROOT

from .row import NONE_LOST, Row, Scene

PROGRAM = ROOT / ".build/chaos/rivals"
_ROOMS = 300


def _fight(scene: Scene) -> None:
    """Two gateways send two relays after the same fresh rooms, at the same moment or one a little later."""
    addresses = scene.world.addresses
    seed = scene.rng.getrandbits(32)
    plan = {
        "mesh": addresses["mesh"],
        "certs": str(Path(addresses["certs"]) / "gateway"),
        "relays": [addresses["services"][f"relay-{n}"] for n in range(2)],
        "rooms": [f"room_rivals_{seed}_{n}" for n in range(_ROOMS)],
        "seed": seed,
        "seconds": 60,
    }
    scene.mark()
    done = subprocess.run([PROGRAM], input=json.dumps(plan), capture_output=True, text=True, check=True, timeout=90)
    scene.figures["rivals"] = json.loads(done.stdout)
    scene.figures["rooms_fought_for"] = _ROOMS


def _one_owner(result: Result) -> list[str]:
    fight = result["rivals"]
    never = ("two_histories", "lost", "twice", "epoch_went_back", "failed")
    return [f"of the rooms fought for {fight[what]}: {what}" for what in never if fight[what]]


ROWS = (
    Row(
        5,
        "two relays claim a room at once",
        _fight,
        f"one owner visible, the other's frames dropped by epoch: one history; {NONE_LOST}",
        3000,
        check=_one_owner,
    ),
)
