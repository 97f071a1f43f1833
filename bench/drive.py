"""Runs the benchmarks: starts a world of its own, ends it, prints a table and, as the last line, one JSON object."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.world import World, running_world  # noqa: E402 - the tree is no package

BIN = ROOT / ".build/bench"
SECONDS = 8.0
SERVERS = ("gateway-0", "envoy-mesh", "relay-0")
Result = dict[str, Any]


def say(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


def load(plan: Result) -> Result:
    """Run the load generator."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(plan, file)
        file.flush()
        done = subprocess.run([BIN / "load", "--plan", file.name], capture_output=True, text=True, timeout=180)
    if done.returncode != 0:
        raise SystemExit(f"load failed: {done.stderr[-2000:]}")
    return cast("Result", json.loads(done.stdout))


@contextmanager
def floor(world: World, *, tls: bool) -> Iterator[tuple[str, int]]:
    """The bare server; yields its address and its pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    public = Path(world.addresses["certs"]) / "public"
    secure = ["--cert", str(public / "tls.pem"), "--key", str(public / "tls.key")] if tls else []
    process = subprocess.Popen([BIN / "floor", "--addr", f"127.0.0.1:{port}", *secure])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"{'wss' if tls else 'ws'}://localhost:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


class Rooms:
    """The measurements that concern sockets and rooms."""

    def __init__(self, world: World) -> None:
        self._world = world
        say("signing in 1,000 guests")
        with ThreadPoolExecutor(16) as pool:
            guests = list(pool.map(lambda _: world.guest("bench"), range(1000)))
        self._tokens = [g.access_token for g in guests]
        owner = guests[0]
        self._rooms = [self._create(f"Bench {n}", owner.headers) for n in range(20)]
        self._pids = [world.where["pids"][name] for name in SERVERS]

    def _create(self, name: str, headers: dict[str, str]) -> str:
        room = {"display_name": name, "capacity": 200}
        body = {"room": room, "request_id": uuid.uuid4().hex}
        response = httpx.post(f"{self._world.rest}/v1/rooms", json=body, headers=headers)
        response.raise_for_status()
        return str(response.json()["room"]["room_id"])

    def _ours(self, mode: str, *, tls: bool, rooms: int, members: int, rate: float) -> Result:
        where = self._world.addresses
        return load(
            {
                "Mode": mode,
                "URLs": where["gateways_wss"] if tls else where["gateways_ws"],
                "CA": where["ca"] if tls else "",
                "Rooms": self._rooms[:rooms],
                "Tokens": self._tokens,
                "Members": members,
                "Rate": rate,
                "Seconds": SECONDS,
                "PIDs": self._pids,
            }
        )

    def _floor(self, mode: str, *, tls: bool, rooms: int, members: int, rate: float) -> Result:
        with floor(self._world, tls=tls) as (url, pid):
            return load(
                {
                    "Mode": mode,
                    "URLs": [url],
                    "CA": self._world.addresses["ca"] if tls else "",
                    "Rooms": self._rooms[:rooms],
                    "Members": members,
                    "Rate": rate,
                    "Seconds": SECONDS,
                    "PIDs": [pid],
                }
            )

    def idle(self, name: str, *, tls: bool) -> Result:
        """Memory of a joined idle socket. The world must be fresh: memory that was used once stays with a process."""
        say(f"{name}: 1,000 sockets that are in a room and still")
        size = {"tls": tls, "rooms": 20, "members": 50, "rate": 1}
        bare, ours = self._floor("idle-floor", **size), self._ours("idle-worldmesh", **size)  # type: ignore[arg-type]
        return {
            name: round(ours["kb_per_socket"][0], 1),
            f"{name}_floor": round(bare["kb_per_socket"][0], 1),
            f"{name}_relay": round(ours["kb_per_socket"][2], 1),
        }

    def run(self) -> Result:
        """All of them; the names are those of the last line."""
        out: Result = {}
        for name, tls, rate in (("cpu_20x50x4", False, 4), ("cpu_20x50x4_tls", True, 4), ("cpu_20x50x10", False, 10)):
            say(f"{name}: the floor, then the whole path")
            size = {"tls": tls, "rooms": 20, "members": 50, "rate": rate}
            bare, ours = self._floor("floor", **size), self._ours("worldmesh", **size)  # type: ignore[arg-type]
            out[name] = round(ours["cpu_s_per_million"] / bare["cpu_s_per_million"], 2)
            out[f"{name}_floor_s"] = round(bare["cpu_s_per_million"], 3)
            out[f"{name}_s"] = round(ours["cpu_s_per_million"], 3)
            share = zip(SERVERS, ours["cpu_s"], strict=True)
            out[f"{name}_by_server"] = {s: round(c / ours["deliveries"] * 1e6, 3) for s, c in share}
            out[f"p99_ms_{name.removeprefix('cpu_')}"] = round(ours["p99_ms"], 1)
            out[f"p99_ms_{name.removeprefix('cpu_')}_floor"] = round(bare["p99_ms"], 1)
            shares = (out.get("delivered_share", 1.0), ours["delivered_share"])
            out["delivered_share"] = round(min(shares), 4)
            joins = "joins_tls" if tls else "joins"
            out.setdefault(joins, round(ours["joins_per_s"] / bare["joins_per_s"], 2))
            out.setdefault(f"{joins}_per_s", round(ours["joins_per_s"]))
            time.sleep(3)  # until the rooms are empty
        say("ordered: one room of 100, five messages a second")
        ordered = self._ours("ordered", tls=False, rooms=1, members=100, rate=5)
        out["ordered_p50_ms"], out["ordered_p99_ms"] = round(ordered["p50_ms"], 2), round(ordered["p99_ms"], 2)
        out["ordered_delivered_share"] = round(ordered["delivered_share"], 4)
        return out


def rpc(world: World) -> Result:
    """Unary calls, direct and through Envoy."""
    say("rpc: unary calls to a Python and to a Go service, direct and through Envoy, in turns")
    where = world.addresses
    services = where["services"]
    target = {"identity": services["identity-0"], "relay": services["relay-0"], "mesh": where["mesh"]}
    done = load({"Mode": "rpc", "Certs": where["certs"], "Calls": 3000, "Target": target})
    return {f"rpc_{name}_{q}": round(v, 0) for name, latency in sorted(done.items()) for q, v in latency.items()}


@contextmanager
def fresh_world(overrides: dict[str, dict[str, str]] | None = None) -> Iterator[World]:
    """A world with one of each service, in a folder that goes with it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_world(Path(folder), scale={}, overrides=overrides) as world,
    ):
        yield world


STILL = {"gateway": {"WORLDMESH_GATEWAY_HEARTBEAT": "60s"}}
"""For sockets that do not even ping."""


def main(only: str) -> None:
    """Run what was asked for."""
    if only not in ("all", "rooms", "rpc"):
        raise SystemExit(f"ONLY={only}: choose rooms or rpc")
    results: Result = {}
    with fresh_world() as world:
        if only in ("all", "rpc"):
            results |= rpc(world)
        if only in ("all", "rooms"):
            results |= Rooms(world).run()
    if only in ("all", "rooms"):
        for name, tls in (("idle_kb", False), ("idle_kb_tls", True)):
            with fresh_world(STILL) as world:
                results |= Rooms(world).idle(name, tls=tls)
    width = max(len(name) for name in results)
    for name, value in results.items():
        print(f"{name:{width}}  {value}")
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "all")
