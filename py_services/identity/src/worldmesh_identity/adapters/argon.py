"""Passwords by argon2id, on threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from worldmesh_identity.ports import PasswordsBusyError

T = TypeVar("T")

_THREADS = 2
# A core does about ten a second: the last in the queue waits for two seconds at most, within a call's five. In a longer
# one callers would wait in vain.
_QUEUE = 20


class ArgonPasswords:
    """Hashes with the parameters of RFC 9106's second choice (64 MiB), on few threads: it is meant to be slow.

    So whoever makes it work makes others wait; beyond a queue it refuses.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._places = BoundedSemaphore(_THREADS + _QUEUE)
        # Verified when there is no account, so that an answer takes as long.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash, with its salt and parameters."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password matches; never for no hash, after as long a time."""
        matches = await self._run(lambda: self._verify(password_hash or self._nobody, password))
        return matches and password_hash is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise PasswordsBusyError
        future = self._pool.submit(work)
        # Not when the caller stops waiting: a thread that has begun works on without it.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerifyMismatchError, InvalidHashError):
            return False

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
