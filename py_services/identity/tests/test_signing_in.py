"""Signing in while other things happen, between parts of the test's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from worldmesh_identity.domain.model import Account, Kind, Session, SigningKey
from worldmesh_identity.domain.signing_in import SigningIn
from worldmesh_identity.ports import PasswordsBusyError
from worldmesh_kit import DomainError, ErrorReason

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return START


class Store:
    """Accounts, sessions and keys, as far as signing in asks for them."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.bot_token_is_good = True
        self.looked_up = 0

    async def by_email(self, email_key: str) -> Account | None:
        self.looked_up += 1
        return Account("usr_ann", Kind.PERSON, "Ann", START, password_hash="hash")

    async def by_bot_token(self, bot_token_hash: str) -> Account | None:
        return Account("usr_robo", Kind.BOT, "Robo", START, bot_token_hash=bot_token_hash)

    async def bot_signed_in(self, bot_token_hash: str, now: datetime) -> bool:
        return self.bot_token_is_good

    async def add(self, session: Session) -> None:
        self.sessions.add(session.session_id)

    async def revoke(self, session_id: str, now: datetime) -> None:
        self.sessions.remove(session_id)

    def signing(self, now: datetime) -> SigningKey:
        return SigningKey("key", bytes(32), bytes(32), START, START)


class Passwords:
    """Looks at passwords when the test lets it; or is too busy."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.ten = asyncio.Event()
        self.looked_at = 0
        self.busy = False
        self.full = False

    async def hash(self, password: str) -> str:
        raise PasswordsBusyError

    async def verify(self, password_hash: str | None, password: str) -> bool:
        if self.full:
            raise PasswordsBusyError
        self.looked_at += 1
        if self.looked_at == 10:
            self.ten.set()
        await self.go.wait()
        return password == "right"


def signing_in(passwords: Passwords, store: Store | None = None) -> SigningIn:
    parts = cast("Any", store or Store())
    return SigningIn(
        accounts=parts,
        sessions=parts,
        passwords=passwords,
        keys=parts,
        clock=Clock(),
        access_life=timedelta(minutes=5),
        refresh_life=timedelta(days=30),
    )


async def reason(call: Any) -> str:
    """Why a call is refused."""
    with pytest.raises(DomainError) as raised:
        await call
    return ErrorReason.Name(raised.value.reason).removeprefix("ERROR_REASON_")


async def test_of_many_guesses_at_once_ten_are_looked_at() -> None:
    passwords = Passwords()
    identity = signing_in(passwords)
    calls = [asyncio.create_task(reason(identity.password("ann@example.org", f"guess {n}", ""))) for n in range(50)]
    await asyncio.wait_for(passwords.ten.wait(), 10)
    passwords.go.set()
    reasons = await asyncio.gather(*calls)
    assert sorted(reasons) == ["CREDENTIALS_INVALID"] * 10 + ["RATE_LIMITED"] * 40
    assert passwords.looked_at == 10


async def test_who_knows_the_password_signs_in_as_often_as_wanted() -> None:
    passwords = Passwords()
    passwords.go.set()
    identity = signing_in(passwords)
    for _ in range(100):
        done = await identity.password("ann@example.org", "right", "")
        assert done.account.user_id == "usr_ann"


async def test_who_comes_when_too_many_sign_in_is_told_when_to_come_back_and_has_not_guessed() -> None:
    passwords = Passwords()
    passwords.go.set()
    passwords.busy = True
    store = Store()
    identity = signing_in(passwords, store)
    for call in (*(identity.password("ann@example.org", "x", "") for _ in range(20)), identity.sign_up("", "", "", "")):
        with pytest.raises(DomainError) as raised:
            await call
        assert raised.value.reason == ErrorReason.ERROR_REASON_RATE_LIMITED
        assert raised.value.retry_after == timedelta(seconds=1)
    assert store.looked_up == 0, "a refusal cost more than it must"
    passwords.busy = False
    passwords.full = True  # the last place was taken meanwhile
    for _ in range(20):
        assert await reason(identity.password("ann@example.org", "x", "")) == "RATE_LIMITED"
    passwords.full = False
    assert await reason(identity.password("ann@example.org", "x", "")) == "CREDENTIALS_INVALID"


async def test_who_gives_up_waiting_has_not_guessed() -> None:
    passwords = Passwords()
    identity = signing_in(passwords)
    calls = [asyncio.create_task(identity.password("ann@example.org", "x", "")) for _ in range(10)]
    await asyncio.wait_for(passwords.ten.wait(), 10)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    passwords.go.set()
    assert await reason(identity.password("ann@example.org", "x", "")) == "CREDENTIALS_INVALID"


async def test_a_bot_whose_token_is_replaced_while_it_signs_in_keeps_no_session() -> None:
    """Else the old token would live on in a session that began after the others were ended."""
    store = Store()
    identity = signing_in(Passwords(), store)
    assert {(await identity.bot("token")).tokens.session_id} == store.sessions
    store.bot_token_is_good = False
    before = set(store.sessions)
    assert await reason(identity.bot("token")) == "CREDENTIALS_INVALID"
    assert store.sessions == before
