"""Opaque page tokens (AIP-158): where the last page ended, bound to the query that made them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence

import grpc

from ._errors import DomainError, ErrorReason

_CHECK = 8

Scalar = str | int | float | None


class PageTokens:
    """Makes and reads the page tokens of one method.

    A token is not secret and holds no right: it says where to go on, and a checksum over the query's filters makes
    sure that it is used with the query that it came from.
    """

    def __init__(self, method: str) -> None:
        self._method = method

    def make(self, position: Sequence[Scalar], filters: Mapping[str, Scalar]) -> str:
        """A token for the page after `position` (the sort key of the last row)."""
        body = json.dumps(list(position), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._check(filters) + body).decode().rstrip("=")

    def read(self, token: str, filters: Mapping[str, Scalar]) -> list[Scalar] | None:
        """The position in a token; None for the first page. Raises DomainError (INVALID_PAGE_TOKEN)."""
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            position = json.loads(raw[_CHECK:])
        except (binascii.Error, ValueError):
            raise _invalid() from None
        if raw[:_CHECK] != self._check(filters) or not isinstance(position, list):
            raise _invalid()
        return position

    def _check(self, filters: Mapping[str, Scalar]) -> bytes:
        query = json.dumps([self._method, sorted(filters.items())], separators=(",", ":")).encode()
        return hashlib.sha256(query).digest()[:_CHECK]


def _invalid() -> DomainError:
    return DomainError(
        grpc.StatusCode.INVALID_ARGUMENT,
        ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN,
        "the page token is not of this query; start again without one",
    )
