"""What happens to a client, in a queue that is bounded and says what it drops."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from ._frames import Correction, EntityState, EntityValues, RoomEvent, RoomLeft, Roster, Snapshot, StateBatch


@dataclass(frozen=True, slots=True)
class Missed:
    """The reader was too slow: this many events, older than what follows, were dropped here."""

    events: int


@dataclass(frozen=True, slots=True)
class Reconnected:
    """What was lost is back: the socket, closed with `close_code`, or, if that is None, only the room, which no relay
    has had for a while (RoomLeft). `snapshot` is the room as it is now, if there was one. What happened in between
    follows, unless `snapshot.gap` says that some of it can't be had any more."""

    close_code: int | None
    snapshot: Snapshot | None


Event: TypeAlias = RoomEvent | StateBatch | Correction | RoomLeft | Snapshot | Roster | Missed | Reconnected


class EventQueue:
    """Events in order. A StateBatch that nobody has read yet takes in the next one, newest value wins. When
    the queue is full, the oldest events go, and a Missed stands in their place."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._missed = 0
        self._ready = asyncio.Event()
        self._end: BaseException | None = None
        self._closed = False

    def put(self, event: Event) -> None:
        """Appends an event; never waits."""
        if isinstance(event, StateBatch) and self._events and isinstance(self._events[-1], StateBatch):
            self._events[-1] = _merge(self._events[-1], event)
        else:
            self._events.append(event)
        while len(self._events) > self._limit:
            self._events.popleft()
            self._missed += 1
        self._ready.set()

    def close(self, error: BaseException | None = None) -> None:
        """Ends the queue: readers get what is left, then the error, or the end."""
        if not self._closed:
            self._closed, self._end = True, error
        self._ready.set()

    async def get(self) -> Event | None:
        """The next event; None at the end. Raises what the queue was closed with."""
        while not self._events and not self._closed:
            self._ready.clear()
            await self._ready.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return Missed(missed)
        if self._events:
            return self._events.popleft()
        if self._end is not None:
            raise self._end
        return None


def _merge(old: StateBatch, new: StateBatch) -> StateBatch:
    if new.anew:
        return new
    gone = set(new.gone)
    states: dict[int, EntityState] = {s.entity: s for s in old.states if s.entity not in gone}
    values: dict[int, EntityValues] = {v.entity: v for v in old.values if v.entity not in gone}
    states |= {s.entity: s for s in new.states}
    values |= {v.entity: v for v in new.values}
    all_gone = tuple(dict.fromkeys((*old.gone, *new.gone)))
    return StateBatch(new.tick, tuple(states.values()), tuple(values.values()), all_gone, old.anew)
