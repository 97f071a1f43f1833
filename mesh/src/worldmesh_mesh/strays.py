"""Finds processes of a world whose supervisor is gone, by the mark in their environment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from .processes import MARK

_NAME = b"PC_PROC_NAME="
"""What the supervisor tells a process that it is called."""


def processes_of(data: Path) -> list[int]:
    """Pids of this user's processes that belong to the world in a data folder."""
    return [pid for pid, _ in _marked(data)]


def names_of(data: Path) -> dict[str, int]:
    """The same by the names that their supervisor gave them; of one and its children, the one."""
    return {
        name.decode(): pid
        for pid, environ in sorted(_marked(data), reverse=True)
        for name in (entry.removeprefix(_NAME) for entry in environ if entry.startswith(_NAME))
    }


def _marked(data: Path) -> Iterator[tuple[int, list[bytes]]]:
    mark = f"{MARK}={data}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is somebody else's
        if mark in environ:
            yield int(entry.name), environ


def end(pids: list[int], patience: float = 5.0) -> None:
    """Ask processes to end, and kill those that do not."""
    for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        limit = time.monotonic() + wait
        while pids and time.monotonic() < limit:
            pids = [pid for pid in pids if alive(pid)]
            time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
