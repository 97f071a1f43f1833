"""Signing in, refreshing, and what becomes of sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from worldmesh_kit import Clock, new_id

from worldmesh_identity.ports import (
    Accounts,
    DeviceKnownError,
    EmailTakenError,
    Passwords,
    PasswordsBusyError,
    Sessions,
    UsernameTakenError,
)

from . import access_tokens, errors
from .attempts import Attempts
from .keys import KeyRing
from .model import Account, Kind, Session, SignedIn, Tokens, name_key
from .secrets import RefreshToken, digest, guest_name

_NAME_TRIES = 5


class SigningIn:
    """Accounts come in here and leave with tokens."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        sessions: Sessions,
        passwords: Passwords,
        keys: KeyRing,
        clock: Clock,
        access_life: timedelta,
        refresh_life: timedelta,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._passwords = passwords
        self._keys = keys
        self._clock = clock
        self._access_life = access_life
        self._refresh_life = refresh_life
        self._attempts = Attempts()

    async def guest(self, device_id: str, device_name: str) -> SignedIn:
        """Sign in as the guest of a device; the account is made at the first time."""
        device_hash = digest(device_id)
        account = await self._accounts.by_device(device_hash) or await self._new_guest(device_hash)
        return await self._sign_in(account, device_name)

    async def _new_guest(self, device_hash: str) -> Account:
        for _ in range(_NAME_TRIES):
            account = Account(
                user_id=new_id("usr"),
                kind=Kind.GUEST,
                username=guest_name(),
                create_time=self._clock.now(),
                device_hash=device_hash,
            )
            try:
                await self._accounts.add(account)
            except UsernameTakenError:
                continue
            except DeviceKnownError:  # the same device, at the same moment
                if known := await self._accounts.by_device(device_hash):
                    return known
                continue
            return account
        raise errors.username_taken("guest")

    async def sign_up(self, email: str, password: str, username: str, device_name: str) -> SignedIn:
        """Make an account with e-mail and password, and sign in."""
        try:
            password_hash = await self._passwords.hash(password)
        except PasswordsBusyError:
            raise errors.passwords_busy() from None
        account = Account(
            user_id=new_id("usr"),
            kind=Kind.PERSON,
            username=username,
            create_time=self._clock.now(),
            email_key=name_key(email),
            password_hash=password_hash,
        )
        try:
            await self._accounts.add(account)
        except UsernameTakenError:
            raise errors.username_taken(username) from None
        except EmailTakenError:
            raise errors.email_taken() from None
        return await self._sign_in(account, device_name)

    async def password(self, email: str, password: str, device_name: str) -> SignedIn:
        """Sign in with e-mail and password. Takes as long for an e-mail that nobody has."""
        key = name_key(email)
        attempt = self._attempts.take(key, self._clock.now())
        account = await self._accounts.by_email(key)
        try:
            matches = await self._passwords.verify(account.password_hash if account else None, password)
        except PasswordsBusyError:
            self._attempts.give_back(attempt)
            raise errors.passwords_busy() from None
        if account is None or not matches:
            raise errors.credentials_invalid()
        self._attempts.give_back(attempt)
        return await self._sign_in(account, device_name)

    async def bot(self, bot_token: str) -> SignedIn:
        """Sign in with a bot token. The session ends with the access token: there is nothing to refresh."""
        account = await self._accounts.by_bot_token(digest(bot_token))
        if account is None:
            raise errors.credentials_invalid()
        now = self._clock.now()
        session = Session(
            session_id=new_id("ses"),
            user_id=account.user_id,
            device_name="bot",
            create_time=now,
            refresh_time=now,
            expire_time=now + self._access_life,
            refresh_hash=None,
        )
        await self._sessions.add(session)
        await self._accounts.signed_in(account.user_id, now)
        return SignedIn(account, self._tokens(account, session.session_id, now))

    async def _sign_in(self, account: Account, device_name: str) -> SignedIn:
        now = self._clock.now()
        session_id = new_id("ses")
        refresh = RefreshToken.new(session_id)
        await self._sessions.add(
            Session(
                session_id=session_id,
                user_id=account.user_id,
                device_name=device_name,
                create_time=now,
                refresh_time=now,
                expire_time=now + self._refresh_life,
                refresh_hash=refresh.digest,
            )
        )
        return SignedIn(account, self._with_refresh(self._tokens(account, session_id, now), refresh))

    async def refresh(self, refresh_token: str) -> Tokens:
        """Change a refresh token for a new pair; one that was spent before ends its session."""
        token = RefreshToken.parse(refresh_token)
        session = await self._sessions.get(token.session_id) if token else None
        now = self._clock.now()
        if token is None or session is None:
            raise errors.credentials_invalid()
        if session.revoke_time is not None or session.expire_time <= now:
            raise errors.session_revoked()
        new = RefreshToken.new(session.session_id)
        rotated = await self._sessions.rotate(
            session.session_id, token.digest, new.digest, now, now + self._refresh_life
        )
        if not rotated:
            await self._not_newest(token, now)
        account = await self._accounts.get(session.user_id)
        if account is None:
            raise errors.session_revoked()
        return self._with_refresh(self._tokens(account, session.session_id, now), new)

    async def _not_newest(self, token: RefreshToken, now: datetime) -> None:
        """A token that is not the newest: spent, so that somebody has a copy; or made up, which ends nothing."""
        if await self._sessions.was_spent(token.session_id, token.digest):
            await self._sessions.revoke(token.session_id, now)
            raise errors.refresh_reused()
        raise errors.credentials_invalid()

    def _tokens(self, account: Account, session_id: str, now: datetime) -> Tokens:
        access = access_tokens.sign(account, session_id, self._keys.signing(now), now, self._access_life)
        return Tokens(access, self._access_life.total_seconds(), session_id)

    def _with_refresh(self, tokens: Tokens, refresh: RefreshToken) -> Tokens:
        return replace(tokens, refresh_token=refresh.text, refresh_seconds=self._refresh_life.total_seconds())

    async def account(self, user_id: str) -> Account:
        """An account; raises ACCOUNT_NOT_FOUND."""
        account = await self._accounts.get(user_id)
        if account is None:
            raise errors.account_not_found()
        return account

    async def rename(self, user_id: str, username: str) -> Account:
        """Change an account's username."""
        try:
            account = await self._accounts.rename(user_id, username)
        except UsernameTakenError:
            raise errors.username_taken(username) from None
        if account is None:
            raise errors.account_not_found()
        return account

    async def sessions(self, user_id: str, before: tuple[datetime, str] | None, limit: int) -> Sequence[Session]:
        """An account's sessions, newest first."""
        return await self._sessions.list(user_id, before, limit, self._clock.now())

    async def revoke(self, user_id: str, session_id: str) -> None:
        """End one of an account's sessions."""
        session = await self._sessions.get(session_id)
        if session is None or session.user_id != user_id:
            raise errors.session_not_found()
        await self._sessions.revoke(session_id, self._clock.now())
