"""Who calls: from headers that Envoy alone can write."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

HEADER_CALLER = "x-worldmesh-caller"
HEADER_USER_ID = "x-worldmesh-user-id"
HEADER_SESSION_ID = "x-worldmesh-session-id"
HEADER_USERNAME = "x-worldmesh-username"
HEADER_ACCOUNT_KIND = "x-worldmesh-account-kind"
HEADER_SCOPES = "x-worldmesh-scopes"
# Comes before a service's name in its certificate, and so in what Envoy says of it.
_SPIFFE = "spiffe://worldmesh/"


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in account, as its access token says."""

    user_id: str
    session_id: str
    username: str
    kind: str
    """guest, person or bot."""
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: a service, and the user on whose behalf it does."""

    service: str
    """The catalogue's name of the calling service, or `edge`."""
    user: User | None
    """None if nobody is signed in."""


_NOBODY = Caller(service="", user=None)
_current: ContextVar[Caller] = ContextVar("worldmesh_caller", default=_NOBODY)


def current_caller() -> Caller:
    """Who made the call that is being served."""
    return _current.get()


def set_caller(caller: Caller) -> None:
    """Name the caller for the rest of this task."""
    _current.set(caller)


def caller_from(metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    """Read the caller out of a call's headers."""
    headers = {key: value for key, value in metadata if key.startswith("x-worldmesh-") and isinstance(value, str)}
    service = headers.get(HEADER_CALLER, "").removeprefix(_SPIFFE)
    user_id = headers.get(HEADER_USER_ID, "")
    if not user_id:
        return Caller(service=service, user=None)
    return Caller(
        service=service,
        user=User(
            user_id=user_id,
            session_id=headers.get(HEADER_SESSION_ID, ""),
            username=headers.get(HEADER_USERNAME, ""),
            kind=headers.get(HEADER_ACCOUNT_KIND, ""),
            scopes=frozenset(headers.get(HEADER_SCOPES, "").split()),
        ),
    )
