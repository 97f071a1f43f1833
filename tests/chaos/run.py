"""Runs faults under load, and says what was lost: `make chaos ROWS=1,5 SEEDS=3`. The last line is one JSON object.

Ends with 1 if a row was not as promised.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence

from tests.chaos.chaos import Chaos, Size, chaotic
from tests.chaos.generator import Result, build
from tests.chaos.page import write_page
from tests.chaos.rows import ROWS
from tests.chaos.rows.limits import CROWD, USUAL_CROWD
from tests.chaos.rows.row import LATE, Row, Setup
from tests.support.signals import end_with_what_was_started

NEVER = ("lost", "twice", "disorder", "split", "unanswered", "wrong_members", "wrong_places", "untimely")
"""What must not happen in any row."""
COMINGS = ("came", "went")
"""Members whom others saw come or go."""


NOT_LINEARIZABLE = "what relays were told of Redis is not linearizable"
"""How that begins which is said of a wrong history."""


def say(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


def misheard(row: Row, result: Result) -> list[str]:
    """What somebody did not hear once and in order, does not see where it is, or should not have seen at all."""
    never = [*NEVER, *([] if row.gaps else ["gaps"]), *([] if row.comings else COMINGS)]
    return [f"{what} {result[what]}" for what in never if result[what]]


def broken(row: Row, result: Result) -> list[str]:
    """The promises that were not kept."""
    wrong = misheard(row, result)
    live, longest = result["live_p99_ms"], result["longest_ms"]
    if not 0 <= live <= row.live_ms:
        wrong.append(f"rooms lived again after {live:.0f} ms, not {row.live_ms:.0f}")
    if longest > (allowed := row.longest_ms or row.live_ms):
        wrong.append(f"somebody was answered after {longest:.0f} ms, not {allowed:.0f}")
    if not result["linearizable"]:
        wrong.append(f"{NOT_LINEARIZABLE}: {result['history_why']}")
    if result["most_reconnects"] > row.reconnects:
        wrong.append(f"a client had to come back {result['most_reconnects']} times")
    return wrong + row.check(result)


SUMS = (
    *NEVER,
    "said",
    "acked",
    "gaps",
    "room_left",
    "reconnects",
    "slow_reconnects",
    "came",
    "went",
    "refused",
    "told_to_move",
    "calls",
    "failed_calls",
)
LEAST = ("goodput", "offered", "move_spread", "both_had", "stale_epochs")
"""Beginnings of figures of which the least is the worst."""


def merged(results: list[Result]) -> Result:
    """Of several seeds: sums of counts, the worst of everything else that is a number."""
    out: Result = {"seeds": len(results)}
    for key in dict.fromkeys(key for result in results for key in result):
        values = [result[key] for result in results if key in result]
        if key in SUMS:
            out[key] = sum(values)
        elif isinstance(values[0], bool):
            out[key] = all(values)
        elif isinstance(values[0], int | float):
            out[key] = round((min if key.startswith(LEAST) else max)(values), 3)
    return out


def by_setup(numbers: Sequence[int]) -> dict[Setup, list[Row]]:
    """Rows that share a world, one world after another."""
    groups: dict[Setup, list[Row]] = {}
    for row in (ROWS[n] for n in numbers):
        groups.setdefault(row.setup, []).append(row)
    return groups


def run(numbers: Sequence[int], size: Size, seeds: range, *, page: bool) -> tuple[dict[int, Result], bool]:
    """Runs rows, each with each seed. The results by row, and whether all was as promised.

    The page has each row's result as soon as there is one.
    """
    results: dict[int, Result] = {}
    say("building what makes the load and the faults")
    build()
    for setup, rows in by_setup(numbers).items():
        say(f"starting a world for rows {', '.join(str(row.number) for row in rows)}")
        try:
            with chaotic(setup, size) as chaos:
                for row in rows:
                    people = size.rooms * size.members
                    say(f"row {row.number}: signing in {people} people, who enter {size.rooms} rooms; then: {row.name}")
                    results[row.number] = result = run_row(chaos, row, seeds)
                    if page:
                        write_page({row.number: result}, size)
        except Exception as error:  # the other worlds are tried all the same
            say(f"the world of these rows failed: {traceback.format_exc()}")
            for row in [row for row in rows if row.number not in results] or rows[-1:]:
                result = results.setdefault(row.number, merged([]) | {"broken": []})
                result["broken"].append(f"the world failed: {error!r}"[:200])
                if page:
                    write_page({row.number: result}, size)
    return dict(sorted(results.items())), not any(r["broken"] for r in results.values())


def run_row(chaos: Chaos, row: Row, seeds: range) -> Result:
    """Runs a row with each seed. `broken` is what was not as promised; a run that could not be ended is that, too."""
    runs: list[Result] = []
    all_wrong: list[str] = []
    for seed in seeds:
        who = f"row {row.number} ({row.name}), seed {seed}"
        try:
            result, wrong = run_seed(chaos, row, seed, who)
            if only_late(wrong):
                # A few hundred steps are seen in a run: one moment in which a machine that is shared stands still is a
                # hundredth of them. What is late by itself is so again.
                first = result["step_p99_ms"]
                result, wrong = run_seed(chaos, row, seed, f"{who}, again")
                result["first_step_p99_ms"] = first
        except Exception as error:  # the other rows are run all the same
            say(f"{who}: {traceback.format_exc()}")
            all_wrong.append(f"seed {seed}: {error!r}"[:200])
            continue
        all_wrong += [f"seed {seed}: {what}" for what in wrong]
        runs.append(result)
    return merged(runs) | {"broken": all_wrong}


def run_seed(chaos: Chaos, row: Row, seed: int, who: str) -> tuple[Result, list[str]]:
    """Runs a row once. What came of it, and what was not as promised."""
    result = chaos.run(row, seed)
    wrong = broken(row, result)
    say(
        f"{who}: {result['acked']} answered, "
        f"live again after {result['live_p99_ms']:.0f} ms; {'; '.join(wrong) or 'as promised'}"
    )
    if wrong:
        say(f"  {result}")
    return result, wrong


def only_late(wrong: Sequence[str]) -> bool:
    """Whether nothing was wrong but how late steps were seen."""
    return bool(wrong) and all(what.startswith(LATE) for what in wrong)


def numbers_of(text: str) -> list[int]:
    """The rows that somebody asks for: `1,5`; all if nothing is said. Raises ValueError with what there is."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if not name.isdecimal() or int(name) not in ROWS]:
        raise ValueError(f"no such rows: {', '.join(unknown)}; there are {', '.join(map(str, sorted(ROWS)))}")
    return [int(name) for name in names] or sorted(ROWS)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.run",
        description=__doc__,
        epilog="A small run of one row, which takes a minute: --rows 1 --rooms 4 --members 8",
    )
    parser.add_argument("--rows", default="", help="numbers of rows, for example 1,5; all by default")
    parser.add_argument("--seeds", type=int, default=1, help="how often each row is run, each time with another seed")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--rooms", type=int, default=Size.rooms, help="how many there are (default: %(default)s)")
    parser.add_argument(
        "--members", type=int, default=Size.members, help="how many people are in each (default: %(default)s)"
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="write what was observed into docs/faults.md; a run of all rows at the default size does so anyway",
    )
    arguments = parser.parse_args()
    end_with_what_was_started()
    try:
        numbers = numbers_of(arguments.rows)
        if min(arguments.seeds, arguments.rooms, arguments.members) < 1:
            raise ValueError("of seeds, rooms and members there must be at least one, or nothing is run")
    except ValueError as error:
        say(f"error: {error}")
        return 2
    size = Size(arguments.rooms, arguments.members)
    page = arguments.page or (not arguments.rows and size == Size() and CROWD == USUAL_CROWD)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    results, kept = run(numbers, size, seeds, page=page)
    say(
        "written to docs/faults.md" if page else "docs/faults.md is as it was: PAGE=1 (--page) writes this into it, too"
    )
    print(json.dumps(results))
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
