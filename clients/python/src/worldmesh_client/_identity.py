"""Signing in: the methods of IdentityService that it takes, over REST or gRPC."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

import betterproto2
import httpx
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError
from worldmesh_messages.worldmesh.identity import v1 as identity

from . import _protojson
from ._errors import RequestError, details_of, from_details, from_status

M = TypeVar("M", bound=betterproto2.Message)

_TIMEOUT = 10.0


class SignInMethods(Protocol):
    """What signing in needs of IdentityService, whatever carries it."""

    async def sign_in_guest(self, message: identity.SignInGuestRequest) -> identity.SignInGuestResponse:
        """As a guest of a device."""

    async def sign_in_password(self, message: identity.SignInPasswordRequest) -> identity.SignInPasswordResponse:
        """With e-mail and password."""

    async def sign_in_bot(self, message: identity.SignInBotRequest) -> identity.SignInBotResponse:
        """With a bot token."""

    async def refresh_session(self, message: identity.RefreshSessionRequest) -> identity.RefreshSessionResponse:
        """Changes a refresh token for a new pair."""

    async def close(self) -> None:
        """Closes what carries the calls."""


class RestIdentity:
    """IdentityService over REST."""

    def __init__(self, base_url: str, tls: ssl.SSLContext | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, verify=tls or True, timeout=_TIMEOUT)

    async def sign_in_guest(self, message: identity.SignInGuestRequest) -> identity.SignInGuestResponse:
        """POST /v1/identity:signInGuest"""
        return await self._post("signInGuest", message, identity.SignInGuestResponse)

    async def sign_in_password(self, message: identity.SignInPasswordRequest) -> identity.SignInPasswordResponse:
        """POST /v1/identity:signInPassword"""
        return await self._post("signInPassword", message, identity.SignInPasswordResponse)

    async def sign_in_bot(self, message: identity.SignInBotRequest) -> identity.SignInBotResponse:
        """POST /v1/identity:signInBot"""
        return await self._post("signInBot", message, identity.SignInBotResponse)

    async def refresh_session(self, message: identity.RefreshSessionRequest) -> identity.RefreshSessionResponse:
        """POST /v1/identity:refreshSession"""
        return await self._post("refreshSession", message, identity.RefreshSessionResponse)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _post(self, method: str, message: betterproto2.Message, kind: type[M]) -> M:
        try:
            answer = await self._http.post(f"/v1/identity:{method}", json=_protojson.encode(message))
            body = answer.json()
        except httpx.HTTPError as e:
            where = f"{self._http.base_url}: {type(e).__name__}: {e}"
            raise RequestError("UNAVAILABLE", where, Status.UNAVAILABLE.value) from e
        except ValueError:
            raise RequestError("UNAVAILABLE", f"HTTP {answer.status_code}", Status.UNAVAILABLE.value) from None
        if not answer.is_success:
            raise from_status(body)
        return _protojson.decode(kind, body)


class GrpcIdentity:
    """IdentityService over gRPC. `tls` is needed wherever the edge speaks TLS."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._channel = Channel(host, port, ssl=tls, status_details_codec=_Details())
        self._stub = identity.IdentityServiceStub(self._channel, timeout=_TIMEOUT)

    async def sign_in_guest(self, message: identity.SignInGuestRequest) -> identity.SignInGuestResponse:
        """Calls SignInGuest."""
        return await _answer(self._stub.sign_in_guest(message))

    async def sign_in_password(self, message: identity.SignInPasswordRequest) -> identity.SignInPasswordResponse:
        """Calls SignInPassword."""
        return await _answer(self._stub.sign_in_password(message))

    async def sign_in_bot(self, message: identity.SignInBotRequest) -> identity.SignInBotResponse:
        """Calls SignInBot."""
        return await _answer(self._stub.sign_in_bot(message))

    async def refresh_session(self, message: identity.RefreshSessionRequest) -> identity.RefreshSessionResponse:
        """Calls RefreshSession."""
        return await _answer(self._stub.refresh_session(message))

    async def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


class _Details(StatusDetailsCodecBase):
    """Has grpclib read google.rpc.Status out of the trailers."""

    __content_subtype__ = "proto"

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        """Not for clients."""
        raise NotImplementedError

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:
        """The details as ProtoJSON objects."""
        return details_of(data)


async def _answer(call: Awaitable[M]) -> M:
    try:
        return await call
    except GRPCError as e:
        raise from_details(e.details or [], e.message or "", e.status.value) from e
    except (OSError, TimeoutError) as e:
        raise RequestError("UNAVAILABLE", f"{type(e).__name__}: {e}", Status.UNAVAILABLE.value) from e
