"""Writes what was observed into docs/faults.md."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.chaos.chaos import Size
from tests.chaos.generator import Result
from tests.chaos.rows import ROWS
from tests.chaos.rows.row import Row
from tests.support.revision import revision
from tests.support.world import ROOT

PAGE = ROOT / "docs/faults.md"


def write_page(results: dict[int, Result], size: Size) -> None:
    """Renews the table of the page; rows that were not run keep what was observed before."""
    text = PAGE.read_text()
    begin, end = "<!-- observed:begin (make chaos) -->", "<!-- observed:end -->"
    head, _, rest = text.partition(begin)
    old, _, tail = rest.partition(end)
    rows = {int(line.split("|")[1]): line for line in old.splitlines() if line.startswith("| ") and line[2].isdigit()}
    for number, r in results.items():
        rows[number] = _line(ROWS[number], r, size) if r["seeds"] else _unended(ROWS[number], r, size)
    table = "\n".join(rows[n] for n in sorted(rows))
    PAGE.write_text(f"{head}{begin}\n{_HEAD}\n{table}\n{end}{tail}")


_COLUMNS = (
    "#",
    "fault",
    "promise",
    "runs × rooms × members",
    "when",
    "answered",
    "lost / twice / out of order",
    "live again, ms p50 / p99",
    "longest silence of state, ms p99",
    "longest answer, ms",
    "steps seen, ms p99 calm / then",
    "most reconnects of a client",
    "what else",
)
_HEAD = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"

EVERY_ROW = frozenset(
    {
        "seeds",
        "said",
        "acked",
        "unanswered",
        "lost",
        "twice",
        "disorder",
        "split",
        "gaps",
        "room_left",
        "reconnects",
        "most_reconnects",
        "slow_reconnects",
        "came",
        "went",
        "wrong_members",
        "wrong_places",
        "refused",
        "untimely",
        "live_p50_ms",
        "live_p99_ms",
        "state_silence_p99_ms",
        "told_to_move",
        "move_spread_ms",
        "broken",
        "ack_p50_ms",
        "ack_p99_ms",
        "longest_ms",
        "longest_at_ms",
        "calm_step_p99_ms",
        "calm_steady",
        "step_p99_ms",
        "clients",
        "away",
        "back_after_ms",
        "history_unchecked",
        "history_unknown",
        "history_rooms",
        "linearizable",
    }
)
"""What the load generator says of every run; a row's own figures are told by their names."""

IF_ANY = (
    "steps_halved",
    "refused",
    "room_left",
    "came",
    "went",
    "away",
    "back_after_ms",
    "told_to_move",
    "move_spread_ms",
    "history_unchecked",
)
"""Told only when there was something."""


def _promise(row: Row, r: Result) -> str:
    broken = "; ".join(r["broken"]).replace("|", "/")
    return row.promise + (f" (**not kept**: {broken})" if broken else "")


def _when() -> str:
    """The day, and of what: the commit, with a + if the tree has changed since, but for this page."""
    return f"{datetime.now(UTC):%Y-%m-%d} {revision(besides='docs/faults.md')}"


def _unended(row: Row, r: Result, size: Size) -> str:
    """Of a row of which no run came to its end: what was observed before counts no more."""
    nothing = ["–"] * (len(_COLUMNS) - 5)
    cells = (str(row.number), row.name, _promise(row, r), f"0 × {size.rooms} × {size.members}", _when(), *nothing)
    return f"| {' | '.join(cells)} |"


def _age(ms: float) -> str:
    """How old steps were; – if none was seen."""
    return "–" if ms < 0 else f"{ms:.0f}"


def _line(row: Row, r: Result, size: Size) -> str:
    own = [key for key in IF_ANY if r[key]] + [key for key in r if key not in EVERY_ROW and key not in IF_ANY]
    cells = (
        str(row.number),
        row.name,
        _promise(row, r),
        f"{r['seeds']} × {size.rooms} × {size.members}",
        _when(),
        str(r["acked"]),
        f"{r['lost']} / {r['twice']} / {r['disorder']}",
        f"{r['live_p50_ms']:.0f} / {r['live_p99_ms']:.0f}",
        f"{r['state_silence_p99_ms']:.0f}",
        f"{r['longest_ms']:.0f}",
        f"{_age(r['calm_step_p99_ms'])} / {_age(r['step_p99_ms'])}",
        f"{r['most_reconnects']:.0f}",
        ", ".join(f"{key} {r[key]:.10g}" for key in own),
    )
    return f"| {' | '.join(cells)} |"
