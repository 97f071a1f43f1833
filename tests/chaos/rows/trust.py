"""What proves who is who is renewed, or judged by clocks that go wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from worldmesh_mesh.certificates import READ_SECONDS

from tests.chaos.generator import Result
from tests.chaos.probe import Probe

from .row import NONE_LOST, RELAY, Row, Scene, Setup, kill
from .signals import restart

LEAD_SECONDS = 40
"""How long the next signing key is published before it signs: longer than anybody keeps the keys that it knows."""


@contextmanager
def _calls(scene: Scene) -> Iterator[None]:
    """Somebody calls and comes by all the time."""
    probe = Probe(scene.world)
    with probe.running():
        yield
    scene.figures |= {
        "calls": probe.tried.total(),
        "failed_calls": probe.failed.total(),
        "signing_keys": len(probe.signed_by),
        "why": dict(probe.why),
    }


def _none_failed(result: Result) -> list[str]:
    return [f"{result['failed_calls']} of {result['calls']} calls failed"] if result["failed_calls"] else []


def _all_rotated(result: Result) -> list[str]:
    wrong = [] if result["signing_keys"] == 2 else [f"{result['signing_keys']} keys have signed"]
    return wrong + _none_failed(result)


def _rotate(scene: Scene) -> None:
    """The signing key, all certificates, the mesh's authorities. Relays restart amid it and after it: whoever speaks to
    them opens new connections then, with what there is at the time."""
    world = scene.world
    scene.mark()
    world.command("run-as", "identity", "--", sys.executable, "-m", "worldmesh_identity", "rotate-signing-key")
    world.command("rotate", "certificates")
    with ThreadPoolExecutor(1) as beside:
        authorities = beside.submit(world.command, "rotate", "authorities")
        time.sleep(READ_SECONDS + 2)
        restart(world, "relay-0")
        authorities.result()
    restart(world, "relay-1")


MINUTES = 5


def _wrong(minutes: int, *instances: str) -> Setup:
    """Instances whose host has a wrong clock."""
    offset = {"WORLDMESH_CLOCK_OFFSET_SECONDS": str(60 * minutes)}
    return Setup(overrides=dict.fromkeys(instances, offset))


def _clock_row(number: int, name: str, setup: Setup) -> Row:
    """Rooms go from one clock to the other, by the death of a relay, while people come and go."""
    promise = f"leases, epochs and tokens as with right clocks: rooms live again ≤ 3 s, 0 failed calls; {NONE_LOST}"
    return Row(number, name, kill(RELAY), promise, 3000, 10, setup=setup, around=(_calls,), check=_none_failed)


_HOST = ("relay-0", "gateway-0", "presence-0")
_NEXT_KEY_SOON = Setup(overrides={"identity": {"WORLDMESH_IDENTITY_KEY_LEAD_SECONDS": str(LEAD_SECONDS)}})

ROWS = (
    Row(
        24,
        "certificates, the mesh's authorities and the signing key rotate",
        _rotate,
        f"0 failed calls; {NONE_LOST}; no client has to come back",
        6000,
        seconds=LEAD_SECONDS + 15,
        setup=_NEXT_KEY_SOON,
        around=(_calls,),
        check=_all_rotated,
    ),
    _clock_row(15, "a host's clock is 5 min ahead: relay, gateway, presence; a relay dies", _wrong(MINUTES, *_HOST)),
    _clock_row(215, "a host's clock is 5 min behind: relay, gateway, presence; a relay dies", _wrong(-MINUTES, *_HOST)),
    _clock_row(315, "identity's clock is 5 min ahead; a relay dies", _wrong(MINUTES, "identity")),
)
