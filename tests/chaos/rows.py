"""The faults, and what is promised under each. Numbers are those of the table in docs/faults.md."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.support.world import World

Mark: TypeAlias = Callable[[], None]
"""Told right before something goes wrong: times are counted from then."""
Fault: TypeAlias = Callable[[World, random.Random, Mark], None]


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    number: int
    name: str
    fault: Fault
    promise: str
    live_ms: float
    """How long rooms may take to live again, at the 99th percentile of rooms."""
    seconds: float = 6.0
    """How long is waited after the fault."""
    reconnects: int = 0
    """How often one client may have to come back."""


def pid_of(world: World, name: str) -> int:
    """The pid of a process of the world, once everything is ready."""
    pids: dict[str, int] = whole(world)["pids"]
    return pids[name]


def whole(world: World) -> dict[str, dict[str, int]]:
    """Waits until the world is whole; what `where` says then."""
    limit = time.monotonic() + 60
    while world.command("where", check=False).returncode != 0:
        if time.monotonic() > limit:
            raise TimeoutError("the world does not become whole again")
        time.sleep(0.2)
    return world.where


def stop(which: Callable[[random.Random], str], seconds: float) -> Fault:
    """Stops a process for a while, as if its machine were stuck."""

    def fault(world: World, rng: random.Random, mark: Mark) -> None:
        pid = pid_of(world, which(rng))
        mark()
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    return fault


def one_of(service: str) -> Callable[[random.Random], str]:
    """One of the two instances of a service, by the seed."""
    return lambda rng: f"{service}-{rng.randrange(2)}"


RELAY, GATEWAY, PRESENCE = one_of("relay"), one_of("gateway"), one_of("presence")


def just(name: str) -> Callable[[random.Random], str]:
    """The process of that name."""
    return lambda _: name


def signalled(which: Callable[[random.Random], str], number: signal.Signals) -> Fault:
    """Sends a signal to a process."""

    def fault(world: World, rng: random.Random, mark: Mark) -> None:
        pid = pid_of(world, which(rng))
        mark()
        os.kill(pid, number)

    return fault


def kill(which: Callable[[random.Random], str]) -> Fault:
    """Kills a process as a crash does."""
    return signalled(which, signal.SIGKILL)


def end(which: Callable[[random.Random], str]) -> Fault:
    """Ends a process as a deploy does."""
    return signalled(which, signal.SIGTERM)


def restart(world: World, name: str) -> None:
    """Ends a process and waits until the one that takes its place is ready."""
    before = pid_of(world, name)
    os.kill(before, signal.SIGTERM)
    limit = time.monotonic() + 60
    while pid_of(world, name) == before:
        if time.monotonic() > limit:
            raise TimeoutError(f"{name} does not end")
        time.sleep(0.2)


def roll(world: World, _: random.Random, mark: Mark) -> None:
    """Restarts all relays, then all gateways, then the mesh's Envoy, one after another."""
    whole(world)
    mark()
    for name in ("relay-0", "relay-1", "gateway-0", "gateway-1", "envoy-mesh"):
        restart(world, name)


def flush(world: World, _: random.Random, mark: Mark) -> None:
    """Has Redis forget everything."""
    host, _colon, port = str(world.addresses["redis"]).partition(":")
    mark()
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        if (answer := connection.recv(64)) != b"+OK\r\n":
            raise RuntimeError(f"FLUSHALL was answered with {answer!r}")


NONE_LOST = "0 lost, 0 twice, order kept"
ROWS = {
    row.number: row
    for row in (
        Row(1, "relay `kill -9`", kill(RELAY), f"rooms live again ≤ 3 s; {NONE_LOST}", 3000),
        Row(
            2,
            "relay SIGSTOP 10 s, then SIGCONT",
            stop(RELAY, 10),
            f"new owner ≤ 6 s; the woken one can write nothing; {NONE_LOST}",
            6000,
            seconds=16,
        ),
        Row(7, "gateway `kill -9`", kill(GATEWAY), f"clients resume elsewhere; {NONE_LOST}", 6000, reconnects=1),
        Row(
            8,
            "gateway SIGTERM",
            end(GATEWAY),
            f"clients move, spread over the drain; {NONE_LOST}",
            6000,
            seconds=10,
            reconnects=1,
        ),
        Row(13, "presence `kill -9`", kill(PRESENCE), f"rooms notice nothing; {NONE_LOST}", 3000),
        Row(
            17,
            "Redis stopped for 10 s",
            stop(just("valkey"), 10),
            f"state goes on; ordered refused with RetryInfo; nothing false acknowledged; {NONE_LOST}",
            15000,
            seconds=18,
        ),
        Row(18, "Redis FLUSHALL", flush, f"rooms claimed again in a newer era; {NONE_LOST}", 5000),
        Row(
            23,
            "mesh Envoy `kill -9`",
            kill(just("envoy-mesh")),
            f"streams open again; {NONE_LOST}",
            8000,
            seconds=10,
        ),
        Row(
            26,
            "rolling restart of relays, gateways and Envoy",
            roll,
            f"{NONE_LOST}; clients move at most once a gateway",
            6000,
            reconnects=2,
        ),
    )
}
