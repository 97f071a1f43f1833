"""The load generator (load/), as the tests speak to it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias, cast

from tests.support.world import ROOT

PROGRAM = ROOT / ".build/chaos/load"

PROGRAMS = ("load", "proxy", "rivals", "offer", "history")
"""All that the tests run beside the world; each is a folder here."""

Result: TypeAlias = dict[str, Any]


def build() -> None:
    """Build the programs; of those that are as they were, nothing is done."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    folders = [f"./tests/chaos/{name}" for name in PROGRAMS]
    subprocess.run(["go", "build", "-buildvcs=false", "-o", f"{PROGRAM.parent}/", *folders], cwd=ROOT, check=True)


class Load:
    """The load generator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.marked = 0.0
        self.ended = 0.0
        """When it was told to stop, after which everybody leaves."""

    def mark(self) -> None:
        """Says that something goes wrong now, and waits until that is noted: what comes of it counts."""
        self.marked = time.monotonic()
        self.tell("mark")
        self.answer()

    def struck(self) -> None:
        """Says that what goes wrong has happened, and waits until that is noted: who speaks now has outlived it."""
        self.tell("struck")
        self.answer()

    def calm(self) -> Result:
        """Waits until steps are seen about as fast from one second to the next: figures of how that went."""
        self.tell("calm")
        return self.answer()

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
        self.ended = time.monotonic()
        self.tell("stop")
        return self.answer()


def _foreground(command: Sequence[str | Path]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


_NICE = "5"


def background(command: Sequence[str | Path]) -> subprocess.Popen[str]:
    """Starts a program that speaks by pipes and makes way for others: who offers more than can be answered, or comes in
    a crowd, must not take the processor from those who answer."""
    process = subprocess.Popen(
        ["nice", "-n", _NICE, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # Where each session has its share of the processor, a process is nice to its own alone.
    with suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text(_NICE)
    return process


@contextmanager
def crowd(plan: Result, *, nice: bool = False) -> Iterator[Load]:
    """Fills rooms with people, as a plan says, who are in when this is entered. `nice` ones make way for others."""
    start = background if nice else _foreground
    process = start([PROGRAM])
    try:
        load = Load(process)
        load.tell(json.dumps(plan))
        load.answer()  # all are in
        yield load
    finally:
        process.kill()
        process.wait()
