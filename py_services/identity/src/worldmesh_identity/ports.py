"""What identity's rules ask of the world around them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from .domain.model import Account, Session, SigningKey


class UsernameTakenError(Exception):
    """Another account has the username."""


class EmailTakenError(Exception):
    """Another account has the e-mail address."""


class DeviceKnownError(Exception):
    """Another account has the device: it was made at the same moment."""


class PasswordsBusyError(Exception):
    """No place is free to hash a password, or the wait for one would be longer than a second."""


class Accounts(Protocol):
    """Keeps accounts. Usernames, e-mails, devices and bot tokens are unique."""

    async def add(self, account: Account) -> None:
        """Keep a new account. Raises UsernameTakenError, EmailTakenError, DeviceKnownError."""
        ...

    async def get(self, user_id: str) -> Account | None: ...
    async def by_email(self, email_key: str) -> Account | None: ...
    async def by_device(self, device_hash: str) -> Account | None: ...
    async def by_bot_token(self, bot_token_hash: str) -> Account | None: ...

    async def rename(self, user_id: str, username: str) -> Account | None:
        """Change the username. Raises UsernameTakenError."""
        ...

    async def bot_signed_in(self, bot_token_hash: str, now: datetime) -> bool:
        """Note the time of a bot's newest sign-in; False if no bot has the token any more."""
        ...

    async def set_bot_token(self, bot_id: str, owner_id: str, token_hash: str, prefix: str) -> Account | None:
        """Replace a bot's token; None if the owner has no such bot."""
        ...

    async def count_bots(self, owner_id: str) -> int: ...

    async def list_bots(self, owner_id: str, after: str, limit: int) -> Sequence[Account]:
        """The owner's bots after an id, in order of their ids."""
        ...

    async def delete_bot(self, bot_id: str, owner_id: str) -> bool: ...


class Sessions(Protocol):
    """Keeps sessions, until they have expired."""

    async def add(self, session: Session) -> None: ...
    async def get(self, session_id: str) -> Session | None: ...

    async def rotate(
        self, session_id: str, spent_hash: str, new_hash: str, now: datetime, expire_time: datetime
    ) -> bool:
        """Replace the refresh token, if the spent one is still the newest; atomic."""
        ...

    async def was_spent(self, session_id: str, refresh_hash: str) -> bool:
        """Whether the token was once the session's newest."""
        ...

    async def revoke(self, session_id: str, now: datetime) -> None:
        """End a session. Idempotent: the first time stands."""
        ...

    async def revoke_all(self, user_id: str, now: datetime) -> None:
        """End all sessions of an account."""
        ...

    async def list(
        self, user_id: str, before: tuple[datetime, str] | None, limit: int, now: datetime
    ) -> Sequence[Session]:
        """Sessions that can be refreshed, newest first, older than (create_time, session_id)."""
        ...


class Keys(Protocol):
    """Keeps signing keys."""

    async def all(self, now: datetime) -> Sequence[SigningKey]:
        """Keys that may still verify something, newest first."""
        ...

    async def add(self, key: SigningKey, expire_time: datetime) -> bool:
        """Keep a new key; False if another instance has just added one for the same moment."""
        ...


class Passwords(Protocol):
    """Hashes passwords, slowly, and so many at once at most."""

    @property
    def busy(self) -> bool:
        """Whether one more would be refused now."""
        ...

    async def hash(self, password: str) -> str:
        """What is stored of a password. Raises PasswordsBusyError."""
        ...

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password matches. Takes as long when there is no hash. Raises PasswordsBusyError."""
        ...
