"""Watches who is online while things go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import grpc
from worldmesh.presence.v1 import presence_service_pb2, presence_service_pb2_grpc

from tests.chaos.rows.row import Scene
from tests.support.world import World

PER_WATCH = 200
"""How many users a watch may be of, by the contract."""


@dataclass(frozen=True)
class Change:
    """What was said of a user."""

    at: float
    user_id: str
    online: bool


class Watcher:
    """Watches users through the mesh, as a service, and opens a watch that breaks again."""

    def __init__(self, world: World, users: Sequence[str]) -> None:
        self._channel = world.mesh_channel("gateway")
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._changes: list[Change] = []
        self._calls: set[grpc.Call] = set()
        parts = [users[n : n + PER_WATCH] for n in range(0, len(users), PER_WATCH)]
        self._threads = [threading.Thread(target=self._watch, args=(part,)) for part in parts]

    def __enter__(self) -> Watcher:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._lock:
            for call in self._calls:
                call.cancel()
        for thread in self._threads:
            thread.join()
        self._channel.close()

    @property
    def changes(self) -> list[Change]:
        """All that was said so far, in order."""
        with self._lock:
            return list(self._changes)

    def _watch(self, users: Sequence[str]) -> None:
        stub = presence_service_pb2_grpc.PresenceServiceStub(self._channel)
        request = presence_service_pb2.WatchPresenceRequest(user_ids=users)
        while not self._ended.is_set():
            call = stub.WatchPresence(request)
            with self._lock:
                self._calls.add(call)
            try:
                for response in call:
                    now = time.monotonic()
                    with self._lock:
                        self._changes += [Change(now, p.user_id, p.online) for p in response.presences if not p.unknown]
            except grpc.RpcError:
                self._ended.wait(0.1)
            with self._lock:
                self._calls.discard(call)


def lines(changes: Sequence[Change], since: float) -> dict[str, list[Change]]:
    """By user: what it was when `since` came, and each time it became something else afterwards."""
    told: dict[str, list[Change]] = {}
    for change in changes:
        line = told.setdefault(change.user_id, [])
        if line and line[-1].online == change.online:
            continue
        if line and change.at < since:
            line.clear()
        line.append(change)
    return told


@contextmanager
def presence(scene: Scene) -> Iterator[None]:
    """Counts how often those who are there, and those who are gone, were said to come and go after the mark."""
    with ExitStack() as stack:
        watcher = stack.enter_context(Watcher(scene.world, scene.users))
        limit = time.monotonic() + 20
        while sum(line[-1].online for line in lines(watcher.changes, 0).values()) < len(scene.users):
            if time.monotonic() > limit:
                raise TimeoutError("presence does not say of everybody that they are online")
            time.sleep(0.1)
        yield
        stack.close()
        during = [c for c in watcher.changes if c.at < scene.load.ended]  # then everybody's sessions are ended
        stayed_away = {scene.users[n] for n in scene.result["dead"] or ()}
        scene.figures |= told(during, scene.load.marked, stayed_away)


def told(changes: Sequence[Change], since: float, stayed_away: Set[str]) -> dict[str, float]:
    """How many users were said to be online all the time (`steady`), offline once and online again (`back_once`),
    offline for good (`gone_once`) and anything else (`flapped`); `expired_ms` is until the last was said to be offline,
    `back_ms` until the last was said to be online again. `gone_wrong` is how many were said to be offline for good and
    did not stay away, or the other way round."""
    figures = dict.fromkeys(("steady", "back_once", "gone_once", "flapped", "expired_ms", "back_ms"), 0.0)
    gone = set()
    for user_id, line in lines(changes, since).items():
        match [c.online for c in line]:
            case [True]:
                figures["steady"] += 1
            case [True, False, True]:
                figures["back_once"] += 1
            case [True, False]:
                figures["gone_once"] += 1
                gone.add(user_id)
            case _:
                figures["flapped"] += 1
        for change in line[1:]:
            what = "back_ms" if change.online else "expired_ms"
            figures[what] = max(figures[what], (change.at - since) * 1000)
    return figures | {"gone_wrong": len(gone ^ stayed_away)}


@contextmanager
def rebuilt(scene: Scene) -> Iterator[None]:
    """Asks who is online, again and again: `rebuilt_ms` is until, after the mark, the answer was right for good;
    `said_offline` is of how many users it was said that they are offline, not that this is unknown."""
    ended = threading.Event()
    wrong: list[float] = []
    offline: set[str] = set()

    def ask() -> None:
        with scene.world.mesh_channel("gateway") as channel:
            stub = presence_service_pb2_grpc.PresenceServiceStub(channel)
            while not ended.wait(0.1):
                answers = asked(stub, scene.users)
                if scene.load.ended:  # the load generator has everybody leave before this is ended
                    return
                if answers is None or not all(p.online for p in answers):
                    wrong.append(time.monotonic())
                offline.update(p.user_id for p in answers or () if not p.online and not p.unknown)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    during = [at for at in wrong if at >= scene.load.marked]
    scene.figures["rebuilt_ms"] = (max(during) - scene.load.marked) * 1000 if during else 0.0
    scene.figures["said_offline"] = len(offline)


def asked(
    stub: presence_service_pb2_grpc.PresenceServiceStub, users: Sequence[str]
) -> list[presence_service_pb2.UserPresence] | None:
    """What is said of everybody; None if presence does not answer."""
    answers: list[presence_service_pb2.UserPresence] = []
    for n in range(0, len(users), PER_WATCH):
        request = presence_service_pb2.BatchGetPresenceRequest(user_ids=users[n : n + PER_WATCH])
        try:
            answers += stub.BatchGetPresence(request, timeout=1).presences
        except grpc.RpcError:
            return None
    return answers
