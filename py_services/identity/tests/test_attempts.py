"""The bound on guesses at a password, on a clock of the test's own."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from worldmesh_identity.domain.attempts import Attempts
from worldmesh_kit import DomainError, ErrorReason

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def taken(attempts: Attempts, count: int, now: datetime = START, key: str = "ann") -> int:
    """How many of so many attempts are let through."""
    through = 0
    for _ in range(count):
        with contextlib.suppress(DomainError):
            attempts.take(key, now)
            through += 1
    return through


def test_ten_attempts_a_minute_are_let_through_for_each_key() -> None:
    attempts = Attempts()
    assert taken(attempts, 12) == 10
    assert taken(attempts, 12, key="ben") == 10
    assert taken(attempts, 1, START + 59 * SECOND) == 0
    assert taken(attempts, 12, START + 60 * SECOND) == 10


def test_who_is_refused_hears_how_long_to_wait() -> None:
    attempts = Attempts()
    taken(attempts, 10)
    with pytest.raises(DomainError) as raised:
        attempts.take("ann", START + 20 * SECOND)
    assert raised.value.reason == ErrorReason.ERROR_REASON_RATE_LIMITED
    assert raised.value.retry_after == 40 * SECOND


def test_attempts_that_were_no_guesses_do_not_count() -> None:
    attempts = Attempts()
    for _ in range(100):
        attempts.give_back(attempts.take("ann", START))
    assert taken(attempts, 12) == 10


def test_an_attempt_is_given_back_to_the_minute_in_which_it_was_taken() -> None:
    attempts = Attempts()
    slow = attempts.take("ann", START)
    assert taken(attempts, 12, START + 60 * SECOND) == 10
    attempts.give_back(slow)
    assert taken(attempts, 1, START + 60 * SECOND) == 0


def test_refusals_do_not_lengthen_the_wait() -> None:
    attempts = Attempts()
    taken(attempts, 1000)
    assert taken(attempts, 1, START + 60 * SECOND) == 1
