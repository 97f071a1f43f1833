"""Benchmarks of Go's own kind, as part of a run's figures."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_LINE = re.compile(r"^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$", re.MULTILINE)


def figures(output: str) -> dict[str, dict[str, float]]:
    """What `go test -bench` printed: by benchmark, the figure of each unit."""
    found: dict[str, dict[str, float]] = {}
    for name, rest in _LINE.findall(output):
        words = rest.split()
        found[name] = {unit: float(value) for value, unit in zip(words[::2], words[1::2], strict=True)}
    return found


def run(root: Path, package: str, name: str, times: int) -> dict[str, dict[str, float]]:
    """Run the benchmarks of a package whose name matches, each so many times."""
    command = ["go", "test", "-run", "^$", "-bench", name, "-benchtime", f"{times}x", package]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{package}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    if not (found := figures(done.stdout)):
        raise SystemExit(f"{package} has no benchmark that is called {name}")
    return found
