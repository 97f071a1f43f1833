"""A signed-in account whose access token stays fresh."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TypeAlias

from worldmesh_messages.worldmesh.identity import v1 as identity

from ._errors import RequestError, WorldmeshError
from ._identity import SignInMethods


@dataclass(frozen=True, slots=True)
class Guest:
    """A person without a password. Whoever knows the device id is this guest: keep it, and keep it secret."""

    device_id: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


@dataclass(frozen=True, slots=True)
class Password:
    """A person with e-mail and password."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bot:
    """A program with a bot token."""

    token: str = field(repr=False)


Credentials: TypeAlias = Guest | Password | Bot


class Session:
    """One sign-in: an account, its tokens, and how to get new ones."""

    def __init__(self, methods: SignInMethods, credentials: Credentials, device_name: str = "") -> None:
        self._methods = methods
        self._credentials = credentials
        self._device_name = device_name
        self._lock = asyncio.Lock()
        self._account: identity.Account | None = None
        self._tokens: identity.TokenPair | None = None

    @property
    def account(self) -> identity.Account:
        """The account that is signed in."""
        if self._account is None:
            raise WorldmeshError("not signed in")
        return self._account

    @property
    def access_token(self) -> str:
        """The newest access token."""
        if self._tokens is None:
            raise WorldmeshError("not signed in")
        return self._tokens.access_token

    @property
    def session_id(self) -> str:
        """The session that the tokens belong to."""
        return self._tokens.session_id if self._tokens else ""

    async def sign_in(self) -> None:
        """Signs in anew with the credentials. Raises RequestError."""
        answer = await self._sign_in()
        if answer.account is None or answer.tokens is None:
            raise WorldmeshError("the answer to signing in lacks account or tokens")
        self._account, self._tokens = answer.account, answer.tokens

    async def renew(self, stale: str) -> str:
        """A newer access token than `stale`: by the refresh token, in the same session, or by signing in if it is no
        longer good. Several that ask at once share one renewal."""
        async with self._lock:
            if self.access_token == stale:
                await self._renew()
            return self.access_token

    async def close(self) -> None:
        """Closes the connections; the session itself lives on until it is revoked or runs out."""
        await self._methods.close()

    async def _renew(self) -> None:
        refresh = self._tokens.refresh_token if self._tokens else ""
        try:
            answer = await self._methods.refresh_session(identity.RefreshSessionRequest(refresh_token=refresh))
        except RequestError as e:
            if e.code != _UNAUTHENTICATED:
                raise
            return await self.sign_in()
        if answer.tokens is not None:
            self._tokens = answer.tokens
        return None

    async def _sign_in(
        self,
    ) -> identity.SignInGuestResponse | identity.SignInPasswordResponse | identity.SignInBotResponse:
        match self._credentials:
            case Guest(device_id):
                return await self._methods.sign_in_guest(
                    identity.SignInGuestRequest(device_id=device_id, device_name=self._device_name)
                )
            case Password(email, password):
                return await self._methods.sign_in_password(
                    identity.SignInPasswordRequest(email=email, password=password, device_name=self._device_name)
                )
            case Bot(token):
                return await self._methods.sign_in_bot(identity.SignInBotRequest(bot_token=token))


_UNAUTHENTICATED = 16
