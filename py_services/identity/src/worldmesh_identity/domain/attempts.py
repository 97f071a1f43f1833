"""A bound on attempts to sign in, for each e-mail address."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from . import errors

_ATTEMPTS = 10
_WINDOW = timedelta(minutes=1)
_REMEMBERED = 50_000


class Attempts:
    """Counts failures in windows of a minute, in memory: each instance by itself.

    The edge bounds requests of an address; this bounds guesses at one account from many addresses.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def check(self, key: str, now: datetime) -> None:
        """Raise RATE_LIMITED if the key has failed too often."""
        start, count = self._failures.get(key, (now, 0))
        left = start + _WINDOW - now
        if count >= _ATTEMPTS and left > timedelta(0):
            raise errors.rate_limited(left)

    def failed(self, key: str, now: datetime) -> None:
        """Note a failure."""
        start, count = self._failures.pop(key, (now, 0))
        if now - start >= _WINDOW:
            start, count = now, 0
        self._failures[key] = (start, count + 1)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)
