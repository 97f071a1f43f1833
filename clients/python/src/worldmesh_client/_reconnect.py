"""Whether to come back after a close, and when: the ranges of worldmesh.gateway.v1.CloseCode say so."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum


class Advice(Enum):
    """What a close code asks of the client."""

    NOW = "come back now"
    LATER = "come back later, with backoff"
    NEW_TOKEN = "come back with a new token"  # noqa: S105 - no password
    NEVER = "do not come back"


_NO_CODE = 1006  # the connection broke: the network, or the gateway died
_AWAY = {1001, 1011, 1012, 1013, 1014}  # a proxy or the server says that it went away
_RANGES = {
    range(4000, 4100): Advice.NOW,
    range(4100, 4200): Advice.LATER,
    range(4200, 4300): Advice.NEW_TOKEN,
}


def advice(code: int) -> Advice:
    """What the close code asks of the client. A code that is not known means: do not come back."""
    if code == _NO_CODE:
        return Advice.NOW
    if code in _AWAY:
        return Advice.LATER
    return next((what for codes, what in _RANGES.items() if code in codes), Advice.NEVER)


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """How often and how slowly a client comes back. Delays are in seconds, double each time, and are spread
    by half so that clients of a gateway that died do not come back as one."""

    attempts: int = 8
    first_delay: float = 0.25
    max_delay: float = 15.0

    def delay(self, code: int, attempt: int) -> float | None:
        """Seconds to wait before the attempt (0 is the first); None: do not try."""
        what = advice(code)
        if what is Advice.NEVER or attempt >= self.attempts:
            return None
        if attempt == 0 and code == _NO_CODE:
            return self.first_delay * random.random()  # noqa: S311 - spreads load, guards nothing
        if attempt == 0 and what is not Advice.LATER:
            return 0.0
        delay = min(self.first_delay * 2.0**attempt, self.max_delay)
        return delay * (0.5 + random.random() / 2)  # noqa: S311 - spreads load, guards nothing


NO_RECONNECT = ReconnectPolicy(attempts=0)
