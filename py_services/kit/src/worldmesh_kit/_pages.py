"""Pages of lists, and their opaque tokens (AIP-158): where the last page ended, bound to the query that made them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar, cast, overload

import grpc

from ._errors import DomainError, ErrorReason

_DEFAULT_SIZE = 20
_CHECK = 8
_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND = timedelta(milliseconds=1)

Filters = Mapping[str, str | int | float | None]

A = TypeVar("A", str, datetime)
B = TypeVar("B", str, datetime)
P = TypeVar("P", bound="tuple[str | datetime, ...]")
T = TypeVar("T")


class PageRequest(Protocol):
    """A request for a page of a list."""

    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...


class PageTokens(Generic[P]):
    """Makes and reads the page tokens of one method, whose rows are sorted by a key of these kinds: texts and times.

    A token is not secret and holds no right: it says where to go on. A checksum over the query's filters makes sure
    that it is used with the query that it came from. It has no key, so whatever a token says is checked as well.
    """

    @overload
    def __init__(self: PageTokens[tuple[A]], method: str, kind: type[A], /) -> None: ...
    @overload
    def __init__(self: PageTokens[tuple[A, B]], method: str, first: type[A], second: type[B], /) -> None: ...
    def __init__(self, method: str, /, *kinds: type[Any]) -> None:
        self._method = method
        self._kinds = kinds

    async def page(
        self,
        request: PageRequest,
        filters: Filters,
        fetch: Callable[[P | None, int], Awaitable[Sequence[T]]],
        key: Callable[[T], P],
    ) -> tuple[Sequence[T], str]:
        """A page of rows, and the token of the next page: empty if this was the last.

        `fetch` gives so many rows at most that come after a sort key, or from the first on. Raises DomainError
        (INVALID_PAGE_TOKEN).
        """
        size = request.page_size or _DEFAULT_SIZE
        rows = await fetch(self.read(request.page_token, filters), size + 1)
        if len(rows) <= size:
            return rows, ""
        return rows[:size], self.make(key(rows[size - 1]), filters)

    def make(self, position: P, filters: Filters) -> str:
        """A token for the page after `position` (the sort key of the last row; times to the millisecond)."""
        body = json.dumps([_plain(value) for value in position], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._check(filters) + body).decode().rstrip("=")

    def read(self, token: str, filters: Filters) -> P | None:
        """The position in a token; None for the first page. Raises DomainError (INVALID_PAGE_TOKEN)."""
        if not token:
            return None
        try:
            values = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[_CHECK:])
            position = cast("P", tuple(_value(k, v) for k, v in zip(self._kinds, values, strict=True)))
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _invalid() from None
        if self.make(position, filters) != token:
            raise _invalid()
        return position

    def _check(self, filters: Filters) -> bytes:
        query = json.dumps([self._method, sorted(filters.items())], separators=(",", ":")).encode()
        return hashlib.sha256(query).digest()[:_CHECK]


def _plain(value: str | datetime) -> str | int:
    return value if isinstance(value, str) else (value - _EPOCH) // _MILLISECOND


def _value(kind: type[str] | type[datetime], plain: object) -> str | datetime:
    if kind is str and isinstance(plain, str):
        plain.encode()  # JSON can say half a surrogate pair, which the store can't keep
        return plain
    if kind is datetime and isinstance(plain, int):
        return _EPOCH + plain * _MILLISECOND
    raise TypeError(f"a {type(plain).__name__} in the place of a {kind.__name__}")


def _invalid() -> DomainError:
    return DomainError(
        grpc.StatusCode.INVALID_ARGUMENT,
        ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN,
        "the page token is not of this query; start again without one",
    )
