"""Writes what was observed into docs/faults.md."""

from __future__ import annotations

from tests.chaos.chaos import Size
from tests.chaos.generator import Result
from tests.chaos.rows import ROWS
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
