"""Secrets that identity hands out, and what it keeps of them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

_BOT = "wmb_"
_REFRESH = "wmr_"
_BYTES = 32
_PREFIX = len(_BOT) + 6


def digest(secret: str) -> str:
    """What is stored of a random secret: SHA-256, for guessing 256 random bits is hopeless anyway."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_bot_token() -> tuple[str, str]:
    """A bot token, and the part of it that may be shown again."""
    token = _BOT + secrets.token_urlsafe(_BYTES)
    return token, token[:_PREFIX]


@dataclass(frozen=True)
class RefreshToken:
    """A refresh token: it names its session, so that one that was spent still finds it."""

    session_id: str
    text: str

    @staticmethod
    def new(session_id: str) -> RefreshToken:
        """A new token of a session."""
        return RefreshToken(session_id, f"{_REFRESH}{session_id}.{secrets.token_urlsafe(_BYTES)}")

    @staticmethod
    def parse(text: str) -> RefreshToken | None:
        """Read a token; None if it is none of ours."""
        session_id, dot, secret = text.removeprefix(_REFRESH).partition(".")
        if not text.startswith(_REFRESH) or not dot or not session_id or not secret:
            return None
        return RefreshToken(session_id, text)

    @property
    def digest(self) -> str:
        """What is stored of it."""
        return digest(self.text)


def guest_name() -> str:
    """A name for a guest, for example `guest-k7f3q2`."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "guest-" + "".join(secrets.choice(alphabet) for _ in range(6))
