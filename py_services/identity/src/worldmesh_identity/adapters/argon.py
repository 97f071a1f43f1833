"""Passwords by argon2id, on threads of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from worldmesh_identity.ports import PasswordsBusyError

T = TypeVar("T")

_THREADS = 2
_PLACES = _THREADS + 20
# Nobody is to wait longer for a hash, in seconds: who calls does not wait long, either, and in a longer queue all would
# have theirs when it is too late for them.
_LONGEST = 1.0
# What the newest has of the estimate of how long one takes.
_NEWEST = 0.2


class ArgonPasswords:
    """Hashes with the parameters of RFC 9106's second choice (64 MiB), on few threads: it is meant to be slow.

    So whoever makes it work makes others wait; beyond a queue, or where the wait would be long, it refuses.
    """

    def __init__(self, hasher: PasswordHasher | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._hasher = hasher or PasswordHasher()
        self._now = now
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._lock = Lock()
        self._inside = 0
        self._running = 0
        began = now()
        # Verified when there is no account, so that an answer takes as long.
        self._nobody = self._hasher.hash("nobody has this password")
        # How long one takes while all threads hash: each has lanes for several processors, so one alone is quicker.
        self._takes = _THREADS * (now() - began)

    @property
    def busy(self) -> bool:
        """Whether one more would be refused now."""
        inside = self._inside
        if inside < _THREADS:
            return False
        return inside >= _PLACES or (inside + 1) * self._takes / _THREADS > _LONGEST

    async def hash(self, password: str) -> str:
        """The hash, with its salt and parameters."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password matches; never for no hash, after as long a time."""
        matches = await self._run(lambda: self._verify(password_hash or self._nobody, password))
        return matches and password_hash is not None

    async def _run(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self.busy:
                raise PasswordsBusyError
            future = self._pool.submit(self._timed, work)
            self._inside += 1
        # Not when the caller stops waiting: a thread that has begun works on without it.
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: Future[T]) -> None:
        with self._lock:
            self._inside -= 1

    def _timed(self, work: Callable[[], T]) -> T:
        began = self._now()
        with self._lock:
            self._running += 1
            shared = self._running == _THREADS
        try:
            return work()
        finally:
            with self._lock:
                if shared and self._running == _THREADS:
                    self._takes += _NEWEST * (self._now() - began - self._takes)
                self._running -= 1

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerifyMismatchError, InvalidHashError):
            return False

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
