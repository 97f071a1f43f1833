"""Keeps what a run has measured beside the profiles that were taken with it, in a folder of its own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

RUNS = 20
"""How many runs are kept; older ones are removed."""
RESULT = "result.json"
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}-")


def folder(runs: Path, of: str, now: datetime | None = None) -> Path:
    """Makes the folder of a run of this commit."""
    now = now or datetime.now(UTC)
    made = runs / f"{now:%Y-%m-%dT%H%M%S}-{of}"
    made.mkdir(parents=True)
    return made


def write(run: Path, kind: str, of: str, results: Mapping[str, object], over: Mapping[str, float]) -> None:
    """Writes what a run came to, on what machine and of what commit, and removes the oldest of too many."""
    kept = {"machine": kind, "commit": of, "over_budget": over, "figures": results}
    (run / RESULT).write_text(json.dumps(kept, indent=2) + "\n")
    # Their names begin with when they were, so the newest sort last. A run that was not ended counts for none, and goes
    # with those that are older than all that are kept.
    ended = sorted(done.parent for done in run.parent.glob(f"*/{RESULT}"))
    for old in run.parent.iterdir():
        if _NAME.match(old.name) and old < ended[-RUNS:][0]:
            shutil.rmtree(old)
