"""Processes that die, stop or are restarted."""

from __future__ import annotations

import os
import signal
import socket
import time

from tests.support.world import World

from .row import GATEWAY, NONE_LOST, PRESENCE, RELAY, Row, Scene, end, just, kill, pid_of, stop, whole


def restart(world: World, name: str) -> None:
    """Ends a process and waits until the one that takes its place is ready."""
    before = pid_of(world, name)
    os.kill(before, signal.SIGTERM)
    limit = time.monotonic() + 60
    while pid_of(world, name) == before:
        if time.monotonic() > limit:
            raise TimeoutError(f"{name} does not end")
        time.sleep(0.2)


def roll(scene: Scene) -> None:
    """Restarts all relays, then all gateways, then the mesh's Envoy, one after another."""
    whole(scene.world)
    scene.mark()
    for name in ("relay-0", "relay-1", "gateway-0", "gateway-1", "envoy-mesh"):
        restart(scene.world, name)


def flush(scene: Scene) -> None:
    """Has Redis forget everything."""
    host, _, port = str(scene.world.addresses["redis"]).partition(":")
    scene.mark()
    address = (host, int(port))
    with scene.history.befalls("flush"), socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        if (answer := connection.recv(64)) != b"+OK\r\n":
            raise RuntimeError(f"FLUSHALL was answered with {answer!r}")


ROWS = (
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
