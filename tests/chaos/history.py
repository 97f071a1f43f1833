"""Histories of what the relays of a world ask of Redis and are told (go_services/relay/history)."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tests.chaos.generator import Result
from tests.support.world import ROOT

PROGRAM = ROOT / ".build/chaos/history"
KEPT = ROOT / ".build/chaos/histories"
"""Where histories are kept that are not linearizable."""

Fate = Literal["flush", "fail-over"]
"""What befalls a store so that it forgets: everything, or nobody knows what (then nothing after it is checked)."""


@dataclass(frozen=True)
class History:
    """A folder where the relays of a world write what they ask, and tests what befalls the store."""

    folder: Path
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def overrides(self) -> dict[str, dict[str, str]]:
        """What relays must be told."""
        return {"relay": {"WORLDMESH_RELAY_HISTORY_DIR": str(self.folder)}}

    @contextmanager
    def befalls(self, fate: Fate) -> Iterator[None]:
        """While this is entered, that befalls the store."""
        number = next(self.numbers)
        self._write({"id": number, "asked": {"what": fate, "last": {"seq": 0, "sub": 0}}})
        yield
        told = {"outcome": "ok", "owner": {"relay": "", "incarnation": "", "epoch": 0}, "last": {"seq": 0, "sub": 0}}
        self._write({"id": number, "told": told})

    def _write(self, line: Result) -> None:
        with (self.folder / "world.jsonl").open("a") as file:
            file.write(json.dumps({"time": time.monotonic_ns(), **line}) + "\n")

    def check(self, since: int) -> Result:
        """Whether all since the world began is linearizable, and how many operations there are of rooms that began at
        `since` (in ns of the monotonic clock) or later: without any, nothing is proved."""
        done = subprocess.run(
            [PROGRAM, self.folder, str(since)], capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"the history can not be checked: {done.stderr}")
        result: Result = json.loads(done.stdout)
        if not result["linearizable"]:
            kept = KEPT / f"{datetime.now(UTC):%Y-%m-%dT%H.%M.%S}"
            shutil.copytree(self.folder, kept)
            result["history_why"] += f"; it is kept: {PROGRAM.relative_to(ROOT)} {kept.relative_to(ROOT)} {since}"
        return result
