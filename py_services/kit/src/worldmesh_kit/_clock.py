"""Time as something that a test can hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The time now, in UTC, to the millisecond (which is what MongoDB keeps)."""
        ...


class SystemClock:
    """The machine's clock; or one that is wrong by an offset, for tests of that."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self._offset = offset

    def now(self) -> datetime:
        """The time now, in UTC, to the millisecond."""
        now = datetime.now(UTC) + self._offset
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
