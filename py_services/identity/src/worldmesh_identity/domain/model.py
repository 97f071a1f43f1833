"""Accounts, sessions and keys as identity sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What kind of account it is."""

    GUEST = "guest"
    PERSON = "person"
    BOT = "bot"


CLIENT_SCOPES = frozenset({"client"})
SERVER_SCOPES = frozenset({"client", "server"})


@dataclass(frozen=True)
class Account:
    """An account. Secrets are here only as hashes."""

    user_id: str
    kind: Kind
    username: str
    create_time: datetime
    scopes: frozenset[str] = CLIENT_SCOPES
    email_key: str | None = None
    password_hash: str | None = None
    device_hash: str | None = None
    owner_id: str | None = None
    bot_token_hash: str | None = None
    bot_token_prefix: str = ""
    sign_in_time: datetime | None = None


@dataclass(frozen=True)
class Session:
    """One sign-in on one device, until it is revoked or no longer refreshed."""

    session_id: str
    user_id: str
    device_name: str
    create_time: datetime
    refresh_time: datetime
    expire_time: datetime
    refresh_hash: str
    """Of the newest refresh token."""
    revoke_time: datetime | None = None


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key pair."""

    kid: str
    private: bytes
    """Raw, 32 bytes."""
    public: bytes
    """Raw, 32 bytes."""
    create_time: datetime
    active_time: datetime
    """Signs from then on, if it is the newest that does."""


@dataclass(frozen=True)
class Tokens:
    """What a sign-in or a refresh gives."""

    access_token: str
    access_seconds: float
    session_id: str
    refresh_token: str
    refresh_seconds: float


@dataclass(frozen=True)
class SignedIn:
    """An account and its tokens."""

    account: Account
    tokens: Tokens


def name_key(name: str) -> str:
    """What must be unique of a username or an e-mail address: letter case does not count."""
    return name.strip().casefold()
