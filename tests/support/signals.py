"""How runs that last are ended."""

from __future__ import annotations

import signal
from types import FrameType


def end_with_what_was_started() -> None:
    """Has SIGTERM end this process as Ctrl-C does, with the worlds that it has started; and SIGINT, which a shell has
    what it runs in the background ignore."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
