"""Runs faults under load, and says what was lost: `make chaos ROWS=1,5 SEEDS=3`. The last line is one JSON object."""

from __future__ import annotations

import argparse
import json
import random
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
from typing import Any, TypeAlias, cast

import httpx

from tests.chaos.rows import ROWS, Row, whole
from tests.support.world import ROOT, World, running_world

LOAD = ROOT / ".build/chaos/load"
PAGE = ROOT / "docs/faults.md"
CALM_SECONDS = 3.0

Result: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How many people there are."""

    rooms: int = 20
    members: int = 50
    rate: float = 4.0


def say(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


class Chaos:
    """A world under load in which things go wrong."""

    def __init__(self, world: World, size: Size) -> None:
        self._world = world
        self._size = size
        owner = world.guest("chaos")
        self._rooms = [self._create(n, owner.headers) for n in range(size.rooms)]

    def _create(self, number: int, headers: dict[str, str]) -> str:
        room = {"display_name": f"Chaos {number}", "capacity": 1000}
        body = {"room": room, "request_id": uuid.uuid4().hex}
        response = httpx.post(f"{self._world.rest}/v1/rooms", json=body, headers=headers)
        response.raise_for_status()
        return str(response.json()["room"]["room_id"])

    def run(self, row: Row, seed: int) -> Result:
        """One fault, once."""
        whole(self._world)
        count = self._size.rooms * self._size.members
        with ThreadPoolExecutor(8) as pool:  # tokens are short-lived: each run has people of its own
            tokens = [g.access_token for g in pool.map(lambda _: self._world.guest("chaos"), range(count))]
        plan = {
            "urls": self._world.addresses["gateways_wss"],
            "ca": self._world.addresses["ca"],
            "rooms": self._rooms,
            "tokens": tokens,
            "rate": self._size.rate,
            "seconds": 280,
        }
        with self._load(plan) as load:
            time.sleep(CALM_SECONDS)
            row.fault(self._world, random.Random(seed), load.mark)
            time.sleep(max(0.0, load.marked + row.seconds - time.monotonic()))
            return load.stop()

    @contextmanager
    def _load(self, plan: Result) -> Iterator[Load]:
        process = subprocess.Popen([LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            load = Load(process)
            load.tell(json.dumps(plan))
            load.answer()  # all are in
            yield load
        finally:
            process.kill()
            process.wait()


class Load:
    """The load generator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.marked = 0.0

    def mark(self) -> None:
        """Says that something goes wrong now."""
        self.marked = time.monotonic()
        self.tell("mark")

    def tell(self, line: str) -> None:
        """Gives it a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def answer(self) -> Result:
        """Its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator has ended with {self._process.wait()}")
        return cast("Result", json.loads(line))

    def stop(self) -> Result:
        """Ends it; what came of it."""
        self.tell("stop")
        return self.answer()


def broken(row: Row, result: Result) -> list[str]:
    """The promises that were not kept."""
    wrong = [f"{what} {result[what]}" for what in ("lost", "twice", "disorder", "gaps", "unanswered") if result[what]]
    live = max(result["live_p99_ms"], result["longest_ms"])
    if not 0 <= result["live_p99_ms"] <= live <= row.live_ms:
        wrong.append(f"rooms lived again after {live:.0f} ms, not {row.live_ms:.0f}")
    if result["most_reconnects"] > row.reconnects:
        wrong.append(f"a client had to come back {result['most_reconnects']} times")
    return wrong


def merged(results: list[Result]) -> Result:
    """Of several seeds: sums of counts, the worst of times."""
    out: Result = {"seeds": len(results)}
    for key in ("acked", "lost", "twice", "disorder", "gaps", "unanswered", "room_left", "reconnects"):
        out[key] = sum(r[key] for r in results)
    times = ("live_p50_ms", "live_p99_ms", "state_p99_ms", "ack_p50_ms", "ack_p99_ms", "longest_ms", "most_reconnects")
    for key in times:
        out[key] = round(max(r[key] for r in results), 1)
    return out


def write_page(results: dict[int, Result], size: Size) -> None:
    """Renews the table of the page; rows that were not run keep what was observed before."""
    text = PAGE.read_text()
    begin, end = "<!-- observed:begin (make chaos) -->", "<!-- observed:end -->"
    head, _, rest = text.partition(begin)
    old, _, tail = rest.partition(end)
    rows = {int(line.split("|")[1]): line for line in old.splitlines() if line.startswith("| ") and line[2].isdigit()}
    for number, r in results.items():
        row = ROWS[number]
        rows[number] = (
            f"| {number} | {row.name} | {row.promise} | {r['seeds']} × {size.rooms} × {size.members} | {r['acked']} "
            f"| {r['lost']} / {r['twice']} / {r['disorder']} | {r['live_p50_ms']:.0f} / {r['live_p99_ms']:.0f} "
            f"| {r['state_p99_ms']:.0f} | {r['longest_ms']:.0f} | {r['most_reconnects']:.0f} |"
        )
    table = "\n".join(rows[n] for n in sorted(rows))
    columns = "| # | fault | promise | runs × rooms × members | answered | lost / twice / out of order "
    columns += (
        "| live again, ms p50 / p99 | state again, ms p99 | longest answer, ms | most reconnects of a client |\n|"
        + "---|" * 10
    )
    PAGE.write_text(f"{head}{begin}\n{columns}\n{table}\n{end}{tail}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="", help="numbers of rows, for example 1,5; all by default")
    parser.add_argument("--seeds", type=int, default=1, help="how often each row is run, each time with another seed")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rooms", type=int, default=Size.rooms)
    parser.add_argument("--members", type=int, default=Size.members)
    parser.add_argument("--page", action="store_true", help="write what was observed into docs/faults.md")
    arguments = parser.parse_args()
    numbers = [int(n) for n in arguments.rows.split(",") if n] or sorted(ROWS)
    if unknown := [n for n in numbers if n not in ROWS]:
        parser.error(f"no such rows: {unknown}; there are {sorted(ROWS)}")
    size = Size(arguments.rooms, arguments.members)
    results: dict[int, Result] = {}
    failed = False
    with tempfile.TemporaryDirectory() as folder, running_world(Path(folder)) as world:
        chaos = Chaos(world, size)
        for number in numbers:
            row, runs = ROWS[number], []
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                result = chaos.run(row, seed)
                wrong = broken(row, result)
                failed = failed or bool(wrong)
                say(
                    f"row {number} ({row.name}), seed {seed}: {result['acked']} answered, "
                    f"live again after {result['live_p99_ms']:.0f} ms; {'; '.join(wrong) or 'as promised'}"
                )
                if wrong:
                    say(f"  {result}")
                runs.append(result)
            results[number] = merged(runs)
    if arguments.page:
        write_page(results, size)
    print(json.dumps(results))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
