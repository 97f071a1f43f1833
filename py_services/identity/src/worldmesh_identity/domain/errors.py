"""Identity's errors, each made in one place."""

from __future__ import annotations

from datetime import timedelta

from grpc import StatusCode
from worldmesh_kit import DomainError, ErrorReason

_BUSY_WAIT = timedelta(seconds=1)


def credentials_invalid() -> DomainError:
    """Never says which part was wrong."""
    return DomainError(
        StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIALS_INVALID, "the credentials do not match"
    )


def refresh_reused() -> DomainError:
    """A refresh token came a second time."""
    return DomainError(
        StatusCode.UNAUTHENTICATED,
        ErrorReason.ERROR_REASON_REFRESH_TOKEN_REUSED,
        "the refresh token was used before; the session is revoked, sign in again",
    )


def session_revoked() -> DomainError:
    """The session has ended."""
    return DomainError(
        StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_SESSION_REVOKED, "the session has ended, sign in again"
    )


def session_not_found() -> DomainError:
    """Not one of the caller's."""
    return DomainError(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_SESSION_NOT_FOUND, "no such session of yours")


def account_not_found() -> DomainError:
    """The account is gone."""
    return DomainError(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ACCOUNT_NOT_FOUND, "no such account")


def username_taken(username: str) -> DomainError:
    """Somebody has it."""
    return DomainError(
        StatusCode.ALREADY_EXISTS,
        ErrorReason.ERROR_REASON_USERNAME_TAKEN,
        "the username is taken",
        {"username": username},
    )


def email_taken() -> DomainError:
    """Somebody has it."""
    return DomainError(
        StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_EMAIL_TAKEN, "an account with that e-mail exists"
    )


def bot_not_found() -> DomainError:
    """Not one of the caller's."""
    return DomainError(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_BOT_NOT_FOUND, "no such bot of yours")


def bot_limit(limit: int) -> DomainError:
    """The account owns as many as it may."""
    return DomainError(
        StatusCode.RESOURCE_EXHAUSTED,
        ErrorReason.ERROR_REASON_BOT_LIMIT_REACHED,
        f"an account owns {limit} bots at most",
        {"limit": str(limit)},
    )


def passwords_busy() -> DomainError:
    """So many sign in at once that another one would wait too long."""
    return DomainError(
        StatusCode.RESOURCE_EXHAUSTED,
        ErrorReason.ERROR_REASON_RATE_LIMITED,
        "too many are signing in just now, wait a moment",
        retry_after=_BUSY_WAIT,
    )


def rate_limited(wait: timedelta) -> DomainError:
    """Too many attempts."""
    return DomainError(
        StatusCode.RESOURCE_EXHAUSTED,
        ErrorReason.ERROR_REASON_RATE_LIMITED,
        "too many attempts, wait a while",
        retry_after=wait,
    )
