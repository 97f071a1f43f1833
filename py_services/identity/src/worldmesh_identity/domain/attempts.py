"""A bound on attempts to sign in, for each e-mail address."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from . import errors

_ATTEMPTS = 10
_WINDOW = timedelta(minutes=1)
_REMEMBERED = 50_000


@dataclass
class Window:
    """The attempts at a key in a minute."""

    key: str
    start: datetime
    count: int = 0


class Attempts:
    """Counts attempts in windows of a minute, in memory: each instance by itself.

    The edge bounds requests of an address; this bounds guesses at one account from many addresses. An attempt counts
    before the password is looked at, for that takes long: of many that come at once no more than these get so far.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def take(self, key: str, now: datetime) -> Window:
        """Count an attempt; returns what it counts in. Raises RATE_LIMITED if there were too many."""
        window = self._windows.pop(key, None)
        if window is None or now - window.start >= _WINDOW:
            window = Window(key, now)
        self._windows[key] = window
        if window.count >= _ATTEMPTS:
            raise errors.rate_limited(window.start + _WINDOW - now)
        window.count += 1
        while len(self._windows) > _REMEMBERED:
            self._windows.popitem(last=False)
        return window

    def give_back(self, window: Window) -> None:
        """Do not count an attempt that was no guess after all."""
        window.count -= 1
        if window.count == 0 and self._windows.get(window.key) is window:
            del self._windows[window.key]
