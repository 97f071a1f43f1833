"""Looks whether the rows notice when the services are broken: builds the services with one known bug after another,
runs the rows that must find it, at a small size, and fails if none does. The last line is one JSON object.

What is broken must show in what people hear and see, or in the history: that something took too long does not count,
for the machine may be slow. Before all that the same rows are run with the services as they are, and must find nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worldmesh_mesh.paths import BIN

from tests.chaos.chaos import Size, chaotic
from tests.chaos.generator import Result
from tests.chaos.generator import build as build_programs
from tests.chaos.run import COMINGS, NEVER, NOT_LINEARIZABLE, by_setup, run_row, say
from tests.support.signals import end_with_what_was_started
from tests.support.world import ROOT

SIZE = Size(rooms=6, members=8, calm=1, settle=3)
SEEDS = 3
"""With how many seeds a row is run until it finds a bug: where a relay is killed at a time of the seed, the bug may
have had no time to do harm."""

WRONG = (*NEVER, "gaps", *COMINGS, NOT_LINEARIZABLE)
"""How that begins which a bug in who owns rooms, and in what is heard, may show in."""
UNSTEADY = ("flapped", "back_once", "gone_once", "gone_wrong", "said_offline")
"""The same of a bug in who is said to be online."""


@dataclass(frozen=True)
class Mutant:
    """A service with a bug in it."""

    name: str
    service: str
    file: str
    """In go_services."""
    text: str
    """Stands there once."""
    becomes: str
    rows: tuple[int, ...]
    """One of them must find it."""
    shown: tuple[str, ...] = WRONG
    """How that begins which a row may say of it."""


MUTANTS = (
    Mutant(
        "append-without-fence",
        "relay",
        "relay/store/append.lua",
        "if epoch > mine or owner == '' then return 'fenced' end\n"
        "if owner ~= ARGV[2] or record[3] ~= ARGV[3] then return 'forgotten' end\n",
        "",
        rows=(5,),
    ),
    Mutant(
        "older-epoch-taken",
        "gateway",
        "gateway/roomlink/roomlink.go",
        "if epoch < s.epoch {",
        "if false {",
        rows=(5,),
    ),
    Mutant(
        "answer-before-append",
        "relay",
        "relay/room/log.go",
        "if len(r.held) == 0 && r.logged == r.published {",
        "if true {",
        rows=(3, 103),
    ),
    Mutant(
        "repeats-unknown-after-takeover",
        "relay",
        "relay/room/room.go",
        "m.seen.add(e.Key)",
        "_ = e.Key",
        rows=(103,),
    ),
    Mutant(
        "unanswered-forgotten",
        "gateway",
        "gateway/roomlink/roomlink.go",
        "again := q.unanswered\n",
        "again := q.unanswered[:0]\n",
        rows=(2,),
    ),
    Mutant(
        "newest-steps-forgotten",
        "gateway",
        "gateway/attachment.go",
        "a.inputs.reopen(a.members.Steps)",
        "a.inputs.reopen(func() []roomlink.Step { return nil })",
        rows=(1,),
    ),
    Mutant(
        "members-not-kept",
        "relay",
        "relay/store/append.lua",
        "redis.call('HSET', KEYS[3], ARGV[i + 6], ARGV[i + 7])",
        "",
        rows=(1,),
    ),
    Mutant(
        "a-forgotten-room-is-anybodys",
        "relay",
        "relay/tenure.go",
        "if err = t.settled(ctx); err == nil {",
        "if err == nil {",
        rows=(418,),
    ),
    Mutant(
        "a-forgotten-room-is-anybodys-at-once",
        "relay",
        "relay/tenure.go",
        "wait := time.Until(moved.Add(t.interval() + tellTime)); wait > 0",
        "wait := time.Until(moved.Add(-t.lease)); wait > 0",
        rows=(418,),
    ),
    Mutant(
        "resume-one-too-late",
        "relay",
        "relay/room/log.go",
        "return r.tail[i+1:], e.Epoch == p.Epoch",
        "return r.tail[min(i+2, len(r.tail)):], e.Epoch == p.Epoch",
        rows=(7,),
    ),
    Mutant(
        "places-not-held",
        "relay",
        "relay/room/membership.go",
        "!m.lost.Add(r.cfg.Hold).After(now)",
        "m.lost.Add(r.cfg.Hold).After(now)",
        rows=(7,),
    ),
    Mutant(
        "relay-does-not-fence-itself",
        "relay",
        "relay/tenure.go",
        "return now.Sub(t.renewed) < t.lease*2/3",
        "return !t.renewed.IsZero()",
        rows=(3,),
        shown=("the relay never fenced itself",),
    ),
    Mutant(
        "claim-though-the-owner-lives",
        "relay",
        "relay/store/claim.lua",
        "local free = owner == '' or owner == ARGV[1] or steal ~= 0 and steal == epoch",
        "local free = true",
        rows=(105,),
    ),
    Mutant(
        "forgotten-taken-for-fenced",
        "relay",
        "relay/store/append.lua",
        "if epoch < mine then return 'forgotten' end",
        "if epoch < mine then return 'fenced' end",
        rows=(18,),
    ),
    Mutant(
        "drain-without-hand-over",
        "relay",
        "relay/hub.go",
        "h.giveAway(ctx, rooms, h.tenure.spread(len(rooms)), endDrained)",
        "_ = rooms",
        rows=(104,),
        shown=("rooms taken by force",),
    ),
    Mutant(
        "offline-at-once",
        "presence",
        "presence/shard/shard.go",
        "s.gateways[number].lostAt = now",
        "s.gateways[number].lostAt = now.Add(-s.cfg.Lease)",
        rows=(7,),
        shown=UNSTEADY,
    ),
    Mutant(
        "offline-never",
        "presence",
        "presence/shard/shard.go",
        "!lost.IsZero() && now.Sub(lost) >= s.cfg.Lease",
        "!lost.IsZero() && now.Before(lost)",
        rows=(7,),
        shown=UNSTEADY,
    ),
    Mutant(
        "offline-before-all-are-known",
        "presence",
        "presence/shard/shard.go",
        "cfg: cfg, began: now, records: newRecords(),",
        "cfg: cfg, began: now, settled: true, records: newRecords(),",
        rows=(13,),
        shown=UNSTEADY,
    ),
)


def mutated(mutant: Mutant) -> str:
    """The file with the bug in it. Raises ValueError if it is not as the table has it."""
    source = (ROOT / "go_services" / mutant.file).read_text()
    if (count := source.count(mutant.text)) != 1:
        raise ValueError(f"{mutant.name}: {mutant.text!r} is in {mutant.file} {count} times: has it changed?")
    return source.replace(mutant.text, mutant.becomes)


@contextmanager
def built(mutant: Mutant) -> Iterator[Path]:
    """A folder with the Go services, one of which has the bug."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for program in BIN.iterdir():
            (folder / program.name).symlink_to(program)
        source, overlay, program = folder / "mutated", folder / "overlay.json", folder / mutant.service
        source.write_text(mutated(mutant))
        overlay.write_text(json.dumps({"Replace": {str(ROOT / "go_services" / mutant.file): str(source)}}))
        program.unlink()
        package = f"./go_services/cmd/{mutant.service}"
        command = ["go", "build", "-buildvcs=false", "-overlay", str(overlay), "-o", str(program), package]
        subprocess.run(command, cwd=ROOT, check=True)
        yield folder


def proof(shown: Sequence[str], broken: Sequence[str]) -> list[str]:
    """What counts of that which a row said of one seed."""
    said = [what.partition(": ")[2] for what in broken]
    return [what for what in said if what.startswith(tuple(shown))]


def unchanged(mutants: Sequence[Mutant]) -> dict[str, list[str]]:
    """What the rows find in the services as they are, by row: nothing, if all is well."""
    found = {}
    for setup, rows in by_setup(sorted({row for m in mutants for row in m.rows})).items():
        with chaotic(setup, SIZE) as chaos:
            for row in rows:
                shown = [word for m in mutants if row.number in m.rows for word in m.shown]
                found[str(row.number)] = proof(shown, run_row(chaos, row, range(SEEDS))["broken"])
    return found


def search(mutant: Mutant) -> Result:
    """Whether a mutant is found, by which row and by what. One that does not build, or whose world does not start, is
    not: that would be noticed without rows."""
    began = time.monotonic()
    found: Result = {"found": False}
    try:
        with built(mutant) as binaries:
            found |= _found(mutant, binaries) or {}
    except Exception as error:  # the other mutants are searched for all the same
        say(f"{mutant.name}: {traceback.format_exc()}")
        found["error"] = repr(error)[:200]
    return found | {"seconds": round(time.monotonic() - began)}


def _found(mutant: Mutant, binaries: Path) -> Result | None:
    """Runs the rows that must find a mutant until one does."""
    for setup, rows in by_setup(mutant.rows).items():
        # Each mutant has worlds of its own: what it has broken stays broken.
        scale = {**setup.scale, "WORLDMESH_BIN": str(binaries)}
        with chaotic(dataclasses.replace(setup, scale=scale), SIZE) as chaos:
            for row, seed in itertools.product(rows, range(SEEDS)):
                if by := proof(mutant.shown, run_row(chaos, row, range(seed, seed + 1))["broken"]):
                    return {"found": True, "row": row.number, "seed": seed, "by": by}
    return None


def named(names: Sequence[str]) -> list[Mutant]:
    """The mutants of these names; all without any. Raises ValueError with what there is."""
    if unknown := set(names) - {m.name for m in MUTANTS}:
        raise ValueError(f"no mutant is called {', '.join(sorted(unknown))}; there are {', '.join(_NAMES)}")
    return [m for m in MUTANTS if not names or m.name in names]


_NAMES = [m.name for m in MUTANTS]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.mutants",
        description=__doc__,
        epilog=f"Mutants: {', '.join(_NAMES)}. The other services are those of `make build`.",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="one mutant, with its rows; may be given again"
    )
    try:
        mutants = named(parser.parse_args().only)
        end_with_what_was_started()
        for mutant in mutants:
            mutated(mutant)
    except ValueError as error:
        say(f"error: {error}")
        return 2
    build_programs()
    say("the services as they are")
    well = unchanged(mutants)
    results = {}
    for mutant in mutants:
        say(f"mutant {mutant.name}")
        results[mutant.name] = result = search(mutant)
        by = f"found by row {result['row']}: {'; '.join(result['by'])}" if result["found"] else "NOT FOUND"
        print(f"{mutant.name}: {by} ({result['seconds']} s)", flush=True)
    for row, wrong in well.items():
        if wrong:
            print(f"row {row} finds in the services as they are: {'; '.join(wrong)}")
    print(json.dumps({"unchanged": well, "mutants": results}))
    return int(any(well.values()) or not all(result["found"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
