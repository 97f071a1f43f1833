"""Hashing of passwords: so much at once, and no more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from worldmesh_identity.adapters.argon import ArgonPasswords
from worldmesh_identity.ports import PasswordsBusyError

PLACES = 22  # two at work and twenty that wait


class SlowHasher(PasswordHasher):
    """Hashes when the test lets it."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.begun.release()
        self.go.wait(10)
        return super().hash(password, salt=salt)


@pytest.fixture
def hasher() -> SlowHasher:
    return SlowHasher()


@pytest_asyncio.fixture
async def passwords(hasher: SlowHasher) -> AsyncIterator[ArgonPasswords]:
    made = ArgonPasswords(hasher, lambda: 0.0)  # it hashes once, for nobody
    hasher.begun.acquire()
    hasher.go.clear()
    yield made
    hasher.go.set()
    made.close()


async def full(passwords: ArgonPasswords, hasher: SlowHasher) -> list[asyncio.Task[str]]:
    """Calls that take all places; the first two are at work."""
    calls = [asyncio.create_task(passwords.hash("password")) for _ in range(PLACES)]
    for _ in range(2):
        assert await asyncio.to_thread(hasher.begun.acquire, timeout=10)
    return calls


async def test_more_work_than_the_queue_holds_is_refused_at_once(passwords: ArgonPasswords, hasher: SlowHasher) -> None:
    calls = await full(passwords, hasher)
    for more in (passwords.hash("password"), passwords.verify(None, "password")):
        with pytest.raises(PasswordsBusyError):
            await more
    hasher.go.set()
    hashed = await asyncio.gather(*calls)
    assert await passwords.verify(hashed[0], "password")
    assert not await passwords.verify(hashed[0], "another")
    assert not await passwords.verify(None, "password")


async def test_who_gives_up_waiting_frees_its_place_and_is_not_worked_for(
    passwords: ArgonPasswords, hasher: SlowHasher
) -> None:
    calls = await full(passwords, hasher)
    for call in calls[2:]:
        call.cancel()
    await asyncio.gather(*calls[2:], return_exceptions=True)
    more = [asyncio.create_task(passwords.hash("password")) for _ in range(PLACES - 2)]
    hasher.go.set()
    assert len(await asyncio.gather(*calls[:2], *more)) == PLACES
    for _ in more:
        assert hasher.begun.acquire(blocking=False)
    assert not hasher.begun.acquire(blocking=False), "somebody was worked for who had given up"


async def test_work_that_nobody_waits_for_keeps_its_place_until_it_is_done(
    passwords: ArgonPasswords, hasher: SlowHasher
) -> None:
    calls = await full(passwords, hasher)
    for call in calls[:2]:
        call.cancel()
    await asyncio.gather(*calls[:2], return_exceptions=True)
    with pytest.raises(PasswordsBusyError):
        await passwords.hash("password")
    hasher.go.set()
    await asyncio.gather(*calls[2:])


class PairedHasher(PasswordHasher):
    """Hashes two at a time when the test lets it, and takes as long for both, by a clock of its own."""

    def __init__(self, takes: float) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.takes = takes
        self.seconds = 0.0
        self.go = threading.Event()
        self.pair = threading.Barrier(2, self.pass_time)
        self.first = True

    def pass_time(self) -> None:
        self.seconds += self.takes

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        if self.first:
            self.first = False
            self.pass_time()
        else:
            self.go.wait(10)
            self.pair.wait(10)
        return super().hash(password, salt=salt)


async def let_in(passwords: ArgonPasswords, hasher: PairedHasher) -> int:
    """How many are let in at once; only two of them are worked for."""
    hasher.go.clear()
    calls = []
    while not passwords.busy:
        calls.append(asyncio.create_task(passwords.hash("password")))
        await asyncio.sleep(0)
    with pytest.raises(PasswordsBusyError):
        await passwords.hash("password")
    for call in calls[2:]:
        call.cancel()
    await asyncio.gather(*calls[2:], return_exceptions=True)
    hasher.go.set()
    await asyncio.gather(*calls[:2])
    return len(calls)


async def test_as_many_are_let_in_as_have_their_hash_within_a_second() -> None:
    hasher = PairedHasher(takes=0.25)
    passwords = ArgonPasswords(hasher, lambda: hasher.seconds)
    # One alone took a quarter of a second, so two at once will take half of one: the fourth has its hash after one.
    assert await let_in(passwords, hasher) == 4
    for takes, most in ((30.0, 2), (0.01, PLACES), (0.25, 8)):
        hasher.takes = takes
        for _ in range(60):
            await asyncio.gather(passwords.hash("password"), passwords.hash("password"))
        assert await let_in(passwords, hasher) == most
    passwords.close()
