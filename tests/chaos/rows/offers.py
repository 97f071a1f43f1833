"""Rows in which more calls are offered than can be answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, cast

import httpx
from worldmesh.identity.v1 import identity_service_pb2 as identity
from worldmesh.presence.v1 import presence_service_pb2 as presence
from worldmesh.world.v1 import world_service_pb2 as rooms

from tests.chaos.generator import Result, background
from tests.support.world import ROOT

from .row import NONE_LOST, Fault, Row, Scene

OFFER = ROOT / ".build/chaos/offer"
# So many times the capacity are offered, and at least such a share of it must be answered. Where the generator gets to
# less, on the same machine, the figures say to how much, and it is judged by that.
_PROMISED = {3.0: 0.9, 10.0: 0.8}
# The same of what is answered when nothing else is asked: on two cores what is refused takes about one of them.
_IN_ALL = {3.0: 0.65, 10.0: 0.3}
# The share of what was refused that must be turned away where that is compared.
_AWAY = 0.8
_LEAST_OFFERED = 2.0
# The share of what is offered that may end otherwise than by an answer or by being refused.
_FAILED = 0.02
# What must be answered afterwards, as a share of what was before: when the load is gone nothing may be left of it. How
# fast a shared machine is changes by about as much.
_AFTER = 0.7
# How often a method is tried that answers too little: how fast a shared machine is changes within a try, which excuses
# nothing else.
_TRIES = 2
_SIGN_IN = 40
_PASSWORD = "a password of some length"


def _accounts(scene: Scene) -> list[bytes]:
    """Requests to sign in, each with an account of its own: as many as have to wait their turn, for guesses at one are
    bounded by themselves."""
    requests = []
    with httpx.Client() as http:
        for _ in range(_SIGN_IN):
            name = f"offer{scene.rng.getrandbits(60):x}"
            signs = {"email": f"{name}@example.com", "password": _PASSWORD}
            http.post(f"{scene.world.rest}/v1/identity:signUp", json=signs | {"username": name}).raise_for_status()
            requests.append(identity.SignInPasswordRequest(**signs).SerializeToString())
    return requests


def _self(_: Scene) -> list[bytes]:
    return [b""]


def _rooms(_: Scene) -> list[bytes]:
    return [rooms.ListRoomsRequest(page_size=100).SerializeToString()]


def _people(scene: Scene) -> list[bytes]:
    return [presence.BatchGetPresenceRequest(user_ids=scene.users[:16]).SerializeToString()]


Method: TypeAlias = tuple[str, Callable[[Scene], list[bytes]], Sequence[float]]
"""A method, requests of it, and how many times its capacity is offered, one after another."""


def _offer(*methods: Method) -> Fault:
    """Methods are called more often than can be answered.

    Refusing takes processor, which services on the same machine lack. So goodput is a share of what is answered while
    the edge turns as many calls away that no service has; `in all` is the share of what is answered when nothing else
    is asked, which may be less."""

    def fault(scene: Scene) -> None:
        scene.mark()
        scene.figures["steps"] = {}
        for method, requests, times in methods:
            name = method.rpartition("/")[2]
            encoded = [base64.b64encode(each).decode() for each in requests(scene)]
            steps, tries = best(name, partial(_offered, scene, method, encoded, times))
            scene.figures["steps"][name] = steps
            scene.figures[f"tries of {name}"] = tries
            for step in steps:
                scene.figures |= shares(name, step)

    return fault


def best(name: str, attempt: Callable[[], list[Result]]) -> tuple[list[Result], int]:
    """The better of two tries, and how many there were: one, if that did not only answer too little."""
    tried: list[list[Result]] = []
    while not tried or (len(tried) < _TRIES and too_little(name, tried[-1]) and not defects(name, tried[-1])):
        tried.append(attempt())
        for step in tried[-1]:  # a service that the first try has slowed down is none that was so before
            step["before_all_per_s"] = tried[0][0]["before_per_s"]
    if defects(name, tried[-1]):
        return tried[-1], len(tried)
    return min(tried, key=lambda steps: len(too_little(name, steps))), len(tried)


def _offered(scene: Scene, method: str, requests: Sequence[str], times: Sequence[float]) -> list[Result]:
    world = scene.world
    plan = {
        "target": world.addresses["grpc"],
        "ca": world.addresses["ca"],
        "token": world.guest("offer").access_token,
        "method": f"/worldmesh.{method}",
        "requests": requests,
        "times": list(times),
        "seconds": 4,
    }
    with background([OFFER]) as offer:
        try:
            told, _ = offer.communicate(json.dumps(plan), timeout=90)
        finally:
            offer.kill()
    if offer.returncode:
        raise RuntimeError(f"the offer ended with {offer.returncode}")
    return cast("list[Result]", json.loads(told))


def _shares(step: Result) -> tuple[float, float, float]:
    """Goodput, goodput in all, and what was offered."""
    # Less that is answered afterwards is no excuse, though the machine may have become slower.
    could = max((step["before_per_s"] + step["after_per_s"]) / 2, step["before_per_s"])
    beside, good, offered = step["beside_per_s"], step["good_per_s"], step["offered_per_s"]
    return good / beside if beside else 0.0, good / could if could else 0.0, offered / could if could else 0.0


def shares(name: str, step: Result) -> Result:
    """How much was offered of a method, and answered, as shares of what could be."""
    named = zip(("goodput", "goodput in all", "offered"), _shares(step), strict=True)
    return {f"{what} of {name} at {step['times']:g} x": share for what, share in named}


def promised(offered: float, shares: Mapping[float, float] = _PROMISED) -> float:
    """The share that must be answered, when so many times the capacity is really offered."""
    (low, most), (high, least) = shares.items()
    return most + (least - most) * min(max((offered - low) / (high - low), 0.0), 1.0)


def too_little(name: str, steps: Sequence[Result]) -> list[str]:
    """Where less was offered or answered than was promised, which a machine may be to blame for."""
    wrong = []
    for each in steps:
        share, in_all, offered = _shares(each)
        if offered < _LEAST_OFFERED:
            wrong.append(f"{name}: only {offered:.1f} times its capacity could be offered")
        if share < promised(offered):
            wrong.append(f"{name} at {offered:.1f} times its capacity: goodput {share:.2f}")
        if in_all < promised(offered, _IN_ALL):
            wrong.append(f"{name} at {offered:.1f} times its capacity: goodput in all {in_all:.2f}")
        if (away := each["away_per_s"]) < _AWAY * each["shed_per_s"]:
            wrong.append(f"{name}: {away:.0f} a second were turned away beside it, {each['shed_per_s']:.0f} refused")
        if (after := each["after_per_s"]) < _AFTER * (before := each["before_all_per_s"]):
            wrong.append(f"{name}: {after:.0f} a second after, {before:.0f} before all")
    return wrong


def defects(name: str, steps: Sequence[Result]) -> list[str]:
    """What no machine is to blame for."""
    wrong = []
    for each in steps:
        if each["failed_per_s"] > _FAILED * each["offered_per_s"]:
            wrong.append(f"{name}: {each['failed_per_s']:.0f} a second were neither answered nor refused")
        if each["silent"]:
            wrong.append(f"{name}: {each['silent']} were refused without a time to try again")
    return wrong


def _goodput(result: Result) -> list[str]:
    return [
        wrong for name, steps in result["steps"].items() for wrong in too_little(name, steps) + defects(name, steps)
    ]


def _row(number: int, name: str, *methods: Method) -> Row:
    return Row(
        number,
        name,
        _offer(*methods),
        "goodput ≥ 90 % at 3 times and 80 % at 10 times of what is answered while the edge turns as many away, ≥ 65 % "
        f"and 30 % in all; what is refused says when to try again; {NONE_LOST}",
        5000,
        seconds=1,
        # They make too few steps for it to be seen when all is calm.
        crowd={"rate": 0.02, "words": 1, "settle": 2},
        check=_goodput,
    )


ROWS = (
    # Of the first the service itself turns away what is too much, for it is slow on purpose; of the second Envoy lets
    # only so many be under way.
    _row(
        27,
        "3 and 10 times as many calls are offered to identity as it can answer",
        ("identity.v1.IdentityService/SignInPassword", _accounts, tuple(_PROMISED)),
        ("identity.v1.IdentityService/GetSelf", _self, tuple(_PROMISED)),
    ),
    # One of a service in Python, and one in Go, which answers more than Envoy passes on, asking several shards at once.
    _row(
        127,
        "3 and 10 times as many calls are offered to world as it can answer, and 3 times to presence",
        ("world.v1.WorldService/ListRooms", _rooms, tuple(_PROMISED)),
        ("presence.v1.PresenceService/BatchGetPresence", _people, (min(_PROMISED),)),
    ),
)
