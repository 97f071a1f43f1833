"""Runs the benchmarks: starts a world of its own, ends it, prints a table and, as the last line, one JSON object.

Fails if a figure is more than 20 % worse than bench/baseline.json has it for this kind of machine (the share that
comes: 1 %, of what is ordered nothing, ordered_p50_to_rpc and presence_changes_to_core: 35 %, allocations and ticks of
full rooms: 100 %), or if one of it was not measured; `--renew` writes what was measured there. Budgets that are not
kept are told. The figures and the profiles are kept in .build/bench-runs/.
"""

from __future__ import annotations

import argparse
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import budgets, gobench, keep  # noqa: E402 - the tree is no package
from bench.baseline import busy, machine, of_machine, regressions, renewed, unjudged, unmeasured  # noqa: E402
from tests.support.revision import revision  # noqa: E402
from tests.support.signals import end_with_what_was_started  # noqa: E402
from tests.support.world import World, running_world  # noqa: E402

BIN = ROOT / ".build/bench"
RUNS = ROOT / ".build/bench-runs"
BASELINE = ROOT / "bench/baseline.json"
SECONDS = 8.0
SERVERS = ("gateway-0", "envoy-mesh", "relay-0")
PROFILES = {"cpu": "profile", "allocs": "allocs"}
"""What is taken of a Go server, and its name on the admin port."""
Result = dict[str, Any]


def say(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


def build() -> None:
    """Build the bare server and the load generator."""
    folders = ["./bench/floor", "./bench/load"]
    subprocess.run(["go", "build", "-buildvcs=false", "-o", f"{BIN}/", *folders], cwd=ROOT, check=True)


def load(plan: Result) -> Result:
    """Run the load generator."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(plan, file)
        file.flush()
        done = subprocess.run([BIN / "load", "--plan", file.name], stdout=subprocess.PIPE, text=True, timeout=180)
    if done.returncode != 0:
        raise SystemExit("load failed")
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


@dataclass(frozen=True)
class Size:
    """Of a run: rooms, members of each, and updates a second of each."""

    rooms: int = 20
    members: int = 50
    rate: float = 1.0
    tls: bool = False


class Rooms:
    """The measurements that concern sockets and rooms."""

    def __init__(self, world: World, kept: Path) -> None:
        self._world = world
        self._kept = kept
        say("signing in 1,000 guests")
        with ThreadPoolExecutor(16) as pool:
            guests = list(pool.map(lambda _: world.guest("bench"), range(1000)))
        self._tokens = [g.access_token for g in guests]
        owner = guests[0]
        self._rooms = [self._create(f"Bench {n}", owner.headers) for n in range(20)]
        where = world.where
        self._pids = [where["pids"][name] for name in SERVERS]
        self._pages = [where["admin"][name] if name != "envoy-mesh" else "" for name in SERVERS]

    def _create(self, name: str, headers: dict[str, str]) -> str:
        room = {"display_name": name, "capacity": 200}
        body = {"room": room, "request_id": uuid.uuid4().hex}
        response = httpx.post(f"{self._world.rest}/v1/rooms", json=body, headers=headers)
        response.raise_for_status()
        return str(response.json()["room"]["room_id"])

    def _ours(self, mode: str, size: Size, **more: Any) -> Result:
        where = self._world.addresses
        urls = where["gateways_wss"] if size.tls else where["gateways_ws"]
        return self._load(mode, size, URLs=urls, Tokens=self._tokens, PIDs=self._pids, Metrics=self._pages, **more)

    def _floor(self, mode: str, size: Size) -> Result:
        with floor(self._world, tls=size.tls) as (url, pid):
            return self._load(mode, size, URLs=[url], PIDs=[pid])

    def _load(self, mode: str, size: Size, **more: Any) -> Result:
        plan = {
            "Mode": mode,
            "CA": self._world.addresses["ca"] if size.tls else "",
            "Rooms": self._rooms[: size.rooms],
            "Members": size.members,
            "Rate": size.rate,
            "Seconds": SECONDS,
        }
        return load(plan | more)

    def idle(self, name: str, *, tls: bool) -> Result:
        """Memory of a joined idle socket. The world must be fresh: memory that was used once stays with a process."""
        say(f"{name}: 1,000 sockets that are in a room and still")
        size = Size(tls=tls)
        bare, ours = self._floor("idle-floor", size), self._ours("idle-worldmesh", size)
        return {
            name: round(ours["kb_per_socket"][0], 1),
            f"{name}_floor": round(bare["kb_per_socket"][0], 1),
            f"{name}_relay": round(ours["kb_per_socket"][2], 1),
        }

    def run(self) -> Result:
        """All of them; the names are those of the last line."""
        out: Result = {}
        for name, size in (
            ("20x50x4", Size(rate=4)),
            ("20x50x4_tls", Size(rate=4, tls=True)),
            ("20x50x10", Size(rate=10)),
        ):
            say(f"{name}: the floor, the whole path, and the floor again")
            before, ours, after = self._floor("floor", size), self._ours("worldmesh", size), self._floor("floor", size)
            bare = {key: (before[key] + after[key]) / 2 for key in ("cpu_s_per_million", "p99_ms", "joins_per_s")}
            out |= self._walked(name, bare, ours)
            time.sleep(3)  # until the rooms are empty
        say("20_walk: what each hears in a room of 20 who all walk, without values")
        walking = self._ours("walk", Size(rooms=1, members=20, rate=4))
        out["bytes_per_s_20_walk"] = round(walking["bytes_per_client_s"])
        time.sleep(3)
        say("ordered: one room of 100, five messages a second")
        ordered = self._ours("ordered", Size(rooms=1, members=100, rate=5))
        out["ordered_p50_ms"], out["ordered_p99_ms"] = round(ordered["p50_ms"], 2), round(ordered["p99_ms"], 2)
        out["delivered_share_ordered"] = round(ordered["delivered_share"], 4)
        direct = unary(self._world, 500)["go_direct"]["p50_us"]
        out["ordered_p50_to_rpc"] = round(1000 * ordered["p50_ms"] / direct, 1)
        out["delivered_share"] = min(value for key, value in out.items() if key.startswith("delivered_share_"))
        self._profile()
        return out

    def _walked(self, name: str, bare: dict[str, float], ours: Result) -> Result:
        """What a run with people who walk says."""
        deliveries = ours["deliveries"]
        of_server = dict(zip(SERVERS, ours["cpu_s"], strict=True))
        allocated = dict(zip(SERVERS, ours["allocations"], strict=True))
        out: Result = {
            f"cpu_{name}": round(ours["cpu_s_per_million"] / bare["cpu_s_per_million"], 2),
            f"cpu_{name}_floor_s": round(bare["cpu_s_per_million"], 3),
            f"cpu_{name}_s": round(ours["cpu_s_per_million"], 3),
            f"cpu_{name}_by_server": {s: round(c / deliveries * 1e6, 3) for s, c in of_server.items()},
            f"p99_ms_{name}": round(ours["p99_ms"], 1),
            f"p99_ms_{name}_floor": round(bare["p99_ms"], 1),
            f"delivered_share_{name}": round(ours["delivered_share"], 4),
        }
        if name != "20x50x10":
            joins = "joins" + name.removeprefix("20x50x4")
            out[joins] = round(ours["joins_per_s"] / bare["joins_per_s"], 3)
            out[f"{joins}_per_s"] = round(ours["joins_per_s"])
        else:
            out[f"p99_{name}"] = round(ours["p99_ms"] / bare["p99_ms"], 2)
            relay = of_server["relay-0"] / deliveries * 1e6
            out[f"relay_cpu_{name}"] = round(relay / bare["cpu_s_per_million"], 3)
            out["relay_deliveries_per_core_s"] = round(deliveries / max(of_server["relay-0"], 0.01))
            out["allocs_per_delivery"] = round(sum(allocated.values()) / deliveries, 4)
            out["relay_allocs_per_delivery"] = round(allocated["relay-0"] / deliveries, 4)
            out["allocs_per_delivery_by_server"] = {s: round(n / deliveries, 4) for s, n in allocated.items() if n}
        return out

    def _profile(self) -> None:
        """Keeps profiles of each Go server, of its CPU and of what it allocates, taken in a run of its own."""
        say(f"profiles: {self._kept.relative_to(ROOT)}")
        files = {
            str(self._kept / f"{server}.{what}.pprof"): page.replace("/metrics", f"/debug/pprof/{name}")
            for server, page in zip(SERVERS, self._pages, strict=True)
            for what, name in PROFILES.items()
            if page
        }
        self._ours("worldmesh", Size(rate=10, tls=True), Profiles=files)


def full_room() -> Result:
    """A room of 5,000 who all walk, on the relay's side: from decoded inputs to what its streams send."""
    say("full room: 5,000 members over four gateways, spread out, dense, and all in one heap")
    units = {
        "tick_ms": "cpu-ms/tick",
        "mdeliveries_per_core_s": "Mdeliveries/cpu-s",
        "allocs_per_delivery": "allocs/delivery",
        "client_kb_per_s": "KB/s/client",
    }
    out: Result = {}
    for name, measured in gobench.run(ROOT, "./go_services/relay", "GridTick", 200).items():
        case = name.removeprefix("GridTick/").replace("/", "_").lower()
        out |= {f"full_room_{case}_{key}": measured[unit] for key, unit in units.items()}
    return out


def unary(world: World, calls: int) -> Result:
    """Latencies of so many unary calls of each kind, by its name."""
    where = world.addresses
    services = where["services"]
    target = {"identity": services["identity-0"], "relay": services["relay-0"], "mesh": where["mesh"]}
    return load({"Mode": "rpc", "Certs": where["certs"], "Calls": calls, "Target": target})


def rpc(world: World) -> Result:
    """Unary calls, direct and through Envoy."""
    say("rpc: unary calls to a Python and to a Go service, direct and through Envoy, in turns")
    done = unary(world, 3000)
    out: Result = {f"rpc_{name}_{q}": round(v, 0) for name, latency in sorted(done.items()) for q, v in latency.items()}
    for language in ("go", "python"):
        by_envoy, direct = (out[f"rpc_{language}_{way}_p50_us"] for way in ("envoy", "direct"))
        out[f"rpc_{language}_envoy_to_direct"] = round(by_envoy / direct, 2)
    return out


def presence(world: World, kept: Path) -> Result:
    """A million users: the core alone, then a process, straight to its port."""
    core = load({"Mode": "presence-core", "HeapProfile": str(kept / "presence-core.heap.pprof")})
    where = world.where
    metrics = where["admin"]["presence-0"]
    plan = {
        "Mode": "presence",
        "Certs": where["certs"],
        "Target": {"presence": where["services"]["presence-0"]},
        "PIDs": [where["pids"]["presence-0"]],
        "Metrics": [metrics],
        "Profiles": {str(kept / "presence-0.cpu.pprof"): metrics.replace("/metrics", "/debug/pprof/profile")},
        "HeapProfile": str(kept / "presence-0.heap.pprof"),
        "Seconds": SECONDS,
    }
    out = {name: round(value, 1) for name, value in (core | load(plan)).items()}
    whole, alone = out["presence_changes_per_core_s"], out["presence_core_changes_per_core_s"]
    return out | {"presence_changes_to_core": round(whole / alone, 3)}


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


def measure(only: str, kept: Path) -> Result:
    """Run what was asked for; profiles go to a folder."""
    results: Result = {}
    if only in ("all", "rooms", "rpc"):
        with fresh_world() as world:
            if only in ("all", "rpc"):
                results |= rpc(world)
            if only in ("all", "rooms"):
                results |= Rooms(world, kept).run()
    if only in ("all", "rooms"):
        results |= full_room()
    if only in ("all", "presence"):
        with fresh_world() as world:
            results |= presence(world, kept)
    if only in ("all", "rooms"):
        for name, tls in (("idle_kb", False), ("idle_kb_tls", True)):
            with fresh_world(STILL) as world:
                results |= Rooms(world, kept).idle(name, tls=tls)
    return results


def judge(results: Result, kind: str, only: str, *, renew: bool) -> bool:
    """Says how a run compares with its baseline, or makes it the baseline; whether it is as good as before."""
    kept = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    baseline, known = of_machine(kept, kind)
    expected = baseline
    if renew:
        kept = renewed(kept, kind, results)
        BASELINE.write_text(json.dumps(kept, indent=2) + "\n")
        expected, _ = of_machine(kept, kind)
    else:
        if not known:
            say(f"there is no baseline of a machine such as this ({kind}): judged by the mildest of others")
        if missing := unjudged(baseline, results):
            say(f"not judged, for {BASELINE.relative_to(ROOT)} does not have them: {', '.join(missing)}")
    lost = unmeasured(expected, results, only)
    if lost:
        say(f"the baseline has figures that were not measured: {', '.join(lost)}")
    worse = regressions(baseline, results)
    for line in worse:
        say(f"worse than the baseline: {line}")
    if worse and (doubt := busy(results)):
        say(f"this run may not count: {doubt}")
    return not lost and (renew or not worse)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--only", default="all", choices=("all", "rooms", "rpc", "presence"), help="a part")
    parser.add_argument(
        "--renew", action="store_true", help="keep what was measured as the baseline of this kind of machine"
    )
    arguments = parser.parse_args()
    end_with_what_was_started()
    build()
    commit = revision()
    kept = keep.folder(RUNS, commit)
    results = measure(arguments.only, kept)
    width = max(len(name) for name in results)
    for name, value in results.items():
        print(f"{name:{width}}  {value}")
    kind = machine(Path("/proc/cpuinfo").read_text())
    over = budgets.over(results)
    keep.write(kept, kind, commit, results, over)
    for name, limit in over.items():
        bound = "at most" if name in budgets.AT_MOST else "at least"
        say(f"over budget: {name} is {results[name]}, meant to be {bound} {limit:g}")
    good = judge(results, kind, arguments.only, renew=arguments.renew)
    say(f"kept with its profiles: {kept.relative_to(ROOT)}")
    print(json.dumps(results | {"over_budget": sorted(over)}))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
