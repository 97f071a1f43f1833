"""How much time the call that is being served has left, for the calls that it makes in turn."""

from __future__ import annotations

import time
from contextvars import ContextVar

_DEFAULT = 10.0
_deadline: ContextVar[float | None] = ContextVar("worldmesh_deadline", default=None)


def set_deadline(seconds: float) -> None:
    """The rest of this task has so long."""
    _deadline.set(time.monotonic() + seconds)


def remaining() -> float:
    """Seconds that are left; outside of any call, a default."""
    deadline = _deadline.get()
    return _DEFAULT if deadline is None else max(0.0, deadline - time.monotonic())
