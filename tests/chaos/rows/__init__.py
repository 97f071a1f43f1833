"""The faults, and what is promised under each. Numbers up to 100 are those of the table in docs/faults.md; from 101 on
they are faults beyond it."""

from __future__ import annotations

from . import limits, moves, network, offers, redis, rivals, signals, trust, upstreams
from .row import Row

_MODULES = (signals, network, redis, rivals, trust, limits, offers, upstreams, moves)
ROWS: dict[int, Row] = {row.number: row for module in _MODULES for row in module.ROWS}
assert len(ROWS) == sum(len(module.ROWS) for module in _MODULES), "two rows have the same number"
