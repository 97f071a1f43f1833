"""Calls of a method that may be sent again, several a second, while things go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast

import grpc
from worldmesh.presence.v1 import presence_service_pb2, presence_service_pb2_grpc

from .row import Scene

EVERY = 0.1
TIMEOUT = 5.0
"""Longer than the contract's, so that it is the mesh that says no."""
SLOW = 1.0
"""A call that takes longer than this has waited for an instance that does not answer."""
USERS = 16
"""Enough that they are of both instances."""

Do: TypeAlias = Callable[[], str]
"""Makes a call; what is wrong with its answer, or nothing."""


@dataclass(frozen=True)
class Called:
    """A call: when it was made, how long it took, and why it failed, or what is wrong with its answer."""

    at: float
    seconds: float
    error: str


def by_mesh(scene: Scene, stack: ExitStack) -> Do:
    """Asks who is online, as a service: by the mesh listener."""
    return _who_is_online(scene, stack.enter_context(scene.world.mesh_channel("gateway")), ())


def by_edge(scene: Scene, stack: ExitStack) -> Do:
    """Asks who is online, as a client: by the edge. The instance that is asked asks the other, by the mesh."""
    token = scene.world.guest("caller").access_token
    channel = stack.enter_context(scene.world.edge_channel())
    return _who_is_online(scene, channel, (("authorization", f"Bearer {token}"),))


def _who_is_online(scene: Scene, channel: grpc.Channel, metadata: tuple[tuple[str, str], ...]) -> Do:
    stub = presence_service_pb2_grpc.PresenceServiceStub(channel)
    request = presence_service_pb2.BatchGetPresenceRequest(user_ids=scene.users[:USERS])

    def ask() -> str:
        answer = stub.BatchGetPresence(request, timeout=TIMEOUT, metadata=metadata)
        gone = sum(not p.online and not p.unknown for p in answer.presences)
        return f"{gone} who are in are said to be offline" if gone else ""

    return ask


def calling(way: Callable[[Scene, ExitStack], Do], name: str = "") -> Callable[[Scene], AbstractContextManager[None]]:
    """Calls ten times a second, whether the calls before have ended or not, and counts those that fail. A row that
    calls in several ways gives each a name, with which its figures begin."""

    @contextmanager
    def around(scene: Scene) -> Iterator[None]:
        with ExitStack() as stack:
            do = way(scene, stack)
            if wrong := do():  # or what can not be done while all is calm: a mistake of the test's
                raise RuntimeError(wrong)
            pool = stack.enter_context(ThreadPoolExecutor(64))
            ended = threading.Event()
            calls: list[Called] = []

            def go_on() -> None:
                while not ended.wait(EVERY):
                    pool.submit(lambda: calls.append(_call(do)))

            thread = threading.Thread(target=go_on)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
                pool.shutdown()
            told = figures(calls, scene.load.marked, scene.load.ended)
            scene.figures |= {f"{name}{what}": value for what, value in told.items()}

    return around


def _call(do: Do) -> Called:
    at = time.monotonic()
    try:
        error = do()
    except grpc.RpcError as e:
        call = cast("grpc.Call", e)  # what stubs raise is both
        error = f"{call.code()}: {call.details()}"
    return Called(at, time.monotonic() - at, error)


def figures(calls: Sequence[Called], marked: float, ended: float) -> dict[str, object]:
    """How many were under way after the mark and how many of them failed, when the last of those was made
    (`last_failure_ms`; 0: none failed, or it was made before), when the last that was slow (`last_slow_ms`), and how
    long the longest took."""
    during = [c for c in calls if c.at + c.seconds > marked and c.at < ended]
    failed = [c for c in during if c.error]
    slow = [c for c in during if c.seconds > SLOW]
    return {
        "calls": len(during),
        "failed_calls": len(failed),
        "failed_why": sorted({c.error for c in failed}),
        "last_failure_ms": round(max([0.0, *(c.at - marked for c in failed)]) * 1000, 1),
        "last_slow_ms": round(max([0.0, *(c.at - marked for c in slow)]) * 1000, 1),
        "longest_call_ms": round(max((c.seconds for c in during), default=0.0) * 1000, 1),
    }
