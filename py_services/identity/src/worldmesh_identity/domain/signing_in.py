"""Signing in, refreshing, and what becomes of sessions."""

from __future__ import annotations

from collections.abc import Sequence
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
# Without a refresh. A bot has its token to come back with, so what is left of its sessions need not stay for long.
_BOT_SESSION_LIFE = timedelta(hours=1)


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
        if self._passwords.busy:  # before anything is looked up: a refusal is to cost little
            raise errors.passwords_busy()
        key = name_key(email)
        attempt = self._attempts.take(key, self._clock.now())
        try:
            account = await self._known(key, password)
        except BaseException:  # whatever it was, nobody has learnt anything
            self._attempts.give_back(attempt)
            raise
        if account is None:
            raise errors.credentials_invalid()
        self._attempts.give_back(attempt)
        return await self._sign_in(account, device_name)

    async def _known(self, email_key: str, password: str) -> Account | None:
        """The account of that e-mail, if the password is its own."""
        account = await self._accounts.by_email(email_key)
        try:
            matches = await self._passwords.verify(account.password_hash if account else None, password)
        except PasswordsBusyError:
            raise errors.passwords_busy() from None
        return account if matches else None

    async def bot(self, bot_token: str) -> SignedIn:
        """Sign in with a bot token. Each instance of a bot that does so has a session of its own."""
        token_hash = digest(bot_token)
        account = await self._accounts.by_bot_token(token_hash)
        if account is None:
            raise errors.credentials_invalid()
        done = await self._sign_in(account, "bot")
        if not await self._accounts.bot_signed_in(token_hash, self._clock.now()):
            # The token was replaced meanwhile. Whoever did so has ended the sessions of then, and this one is newer.
            await self._sessions.revoke(done.tokens.session_id, self._clock.now())
            raise errors.credentials_invalid()
        return done

    async def _sign_in(self, account: Account, device_name: str) -> SignedIn:
        now = self._clock.now()
        refresh = RefreshToken.new(new_id("ses"))
        await self._sessions.add(
            Session(
                session_id=refresh.session_id,
                user_id=account.user_id,
                device_name=device_name,
                create_time=now,
                refresh_time=now,
                expire_time=now + self._life(account),
                refresh_hash=refresh.digest,
            )
        )
        return SignedIn(account, self._tokens(account, refresh, now))

    async def refresh(self, refresh_token: str) -> Tokens:
        """Change a refresh token for a new pair; one that was spent before ends its session."""
        token = RefreshToken.parse(refresh_token)
        session = await self._sessions.get(token.session_id) if token else None
        now = self._clock.now()
        if token is None or session is None:
            raise errors.credentials_invalid()
        if session.revoke_time is not None or session.expire_time <= now:
            raise errors.session_revoked()
        account = await self._accounts.get(session.user_id)
        if account is None:
            raise errors.session_revoked()
        new = RefreshToken.new(session.session_id)
        expire_time = now + self._life(account)
        if not await self._sessions.rotate(session.session_id, token.digest, new.digest, now, expire_time):
            await self._not_newest(token, now)
        return self._tokens(account, new, now)

    async def _not_newest(self, token: RefreshToken, now: datetime) -> None:
        """A token that is not the newest: spent, so that somebody has a copy; or made up, which ends nothing."""
        if await self._sessions.was_spent(token.session_id, token.digest):
            await self._sessions.revoke(token.session_id, now)
            raise errors.refresh_reused()
        raise errors.credentials_invalid()

    def _tokens(self, account: Account, refresh: RefreshToken, now: datetime) -> Tokens:
        return Tokens(
            access_token=access_tokens.sign(
                account, refresh.session_id, self._keys.signing(now), now, self._access_life
            ),
            access_seconds=self._access_life.total_seconds(),
            session_id=refresh.session_id,
            refresh_token=refresh.text,
            refresh_seconds=self._life(account).total_seconds(),
        )

    def _life(self, account: Account) -> timedelta:
        """How long a session lives without a refresh."""
        return min(self._refresh_life, _BOT_SESSION_LIFE) if account.kind is Kind.BOT else self._refresh_life

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
