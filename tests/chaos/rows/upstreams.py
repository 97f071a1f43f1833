"""A proxy that dies, and an upstream that is bad: what becomes of calls that may be sent again."""

from __future__ import annotations

import time

import httpx

from tests.chaos.generator import Result

from .calls import by_edge, by_mesh, calling
from .row import NONE_LOST, PRESENCE, Fault, Row, Scene, as_when_calm, just, kill, stop

EJECTED_MS = 1000
CONNECTED_MS = 1000
"""How long those who were connected to a proxy may take to find that it is back."""


def _dies(envoy: str) -> Fault:
    """An Envoy is killed; `restarted_ms` is until the one that takes its place is ready."""

    def fault(scene: Scene) -> None:
        kill(just(f"envoy-{envoy}"))(scene)
        limit = scene.load.marked + 30
        while not _is_ready(scene.world.addresses["admin"][envoy]):
            if time.monotonic() > limit:
                raise TimeoutError(f"the {envoy}'s Envoy does not come back")
            time.sleep(0.05)
        scene.figures["restarted_ms"] = round((time.monotonic() - scene.load.marked) * 1000, 1)

    return fault


def _is_ready(admin: str) -> bool:
    try:
        return httpx.get(f"{admin}ready", timeout=1).is_success
    except httpx.HTTPError:
        return False


def _succeed_after(result: Result, most: float, way: str = "") -> list[str]:
    wrong = [] if result[f"{way}calls"] else [f"nobody called {way}"]
    if (last := result[f"{way}last_failure_ms"]) > most:
        why = result[f"{way}failed_why"]
        wrong.append(f"a call still failed that was made after {last:.0f} ms, not {most:.0f}: {why}")
    return wrong


def _edge_alone(result: Result) -> list[str]:
    """Calls by the edge fail only until it is back, and at least one did; none fails by the mesh, and rooms notice
    nothing."""
    wrong = _succeed_after(result, result["restarted_ms"] + CONNECTED_MS, "edge_")
    wrong += [] if result["edge_failed_calls"] else ["no call by the edge failed"]
    return wrong + _succeed_after(result, 0, "mesh_") + as_when_calm(result)


def _ejected(result: Result) -> list[str]:
    """Calls do not get to the bad one any more: neither do they fail, nor wait until they are sent elsewhere."""
    wrong = _succeed_after(result, EJECTED_MS)
    if (last := result["last_slow_ms"]) > EJECTED_MS:
        wrong.append(f"a call that was made after {last:.0f} ms still had to wait for the bad one")
    return wrong


ROWS = (
    Row(
        23,
        "mesh Envoy `kill -9`",
        _dies("mesh"),
        f"streams open again; calls that may be sent again fail only until it is back; {NONE_LOST}",
        8000,
        seconds=10,
        around=(calling(by_edge),),
        check=lambda result: _succeed_after(result, result["restarted_ms"] + CONNECTED_MS),
    ),
    Row(
        223,
        "edge Envoy `kill -9`",
        _dies("edge"),
        f"calls that may be sent again fail until it is back, by the edge alone; rooms notice nothing; {NONE_LOST}",
        3000,
        seconds=10,
        around=(calling(by_edge, "edge_"), calling(by_mesh, "mesh_")),
        check=_edge_alone,
    ),
    Row(
        123,
        "one bad upstream: presence SIGSTOP 10 s, then SIGCONT",
        stop(PRESENCE, 10),
        f"ejected ≤ 1 s: calls that may be sent again and are made later succeed; rooms notice nothing; {NONE_LOST}",
        3000,
        seconds=16,
        around=(calling(by_mesh),),
        check=lambda result: _ejected(result) + as_when_calm(result),
    ),
)
