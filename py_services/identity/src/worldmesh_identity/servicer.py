"""worldmesh.identity.v1.IdentityService: translate, call, translate."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from worldmesh.identity.v1 import identity_service_pb2 as pb
from worldmesh.identity.v1 import identity_service_pb2_grpc as rpc
from worldmesh_kit import Clock, PageTokens, User, current_caller

from .adapters.mongo_sessions import MongoSessions
from .domain import errors
from .domain.bots import Bots
from .domain.keys import KeyRing
from .domain.model import Account, Kind, Session, Tokens
from .domain.signing_in import SigningIn

Context = grpc.aio.ServicerContext[Message, Message]

_KINDS = {
    Kind.GUEST: pb.ACCOUNT_KIND_GUEST,
    Kind.PERSON: pb.ACCOUNT_KIND_PERSON,
    Kind.BOT: pb.ACCOUNT_KIND_BOT,
}


class IdentityServicer(rpc.IdentityServiceServicer):
    """The RPCs of identity."""

    def __init__(
        self,
        *,
        signing_in: SigningIn,
        bots: Bots,
        keys: KeyRing,
        sessions: MongoSessions,
        clock: Clock,
        replay: timedelta,
    ) -> None:
        self._signing_in = signing_in
        self._bots = bots
        self._keys = keys
        self._sessions = sessions
        self._clock = clock
        self._replay = replay
        self._session_pages = PageTokens("ListSessions", datetime, str)
        self._bot_pages = PageTokens("ListBots", str)

    async def SignInGuest(self, request: pb.SignInGuestRequest, context: Context) -> pb.SignInGuestResponse:
        done = await self._signing_in.guest(request.device_id, request.device_name)
        return pb.SignInGuestResponse(account=_account(done.account), tokens=_tokens(done.tokens))

    async def SignUp(self, request: pb.SignUpRequest, context: Context) -> pb.SignUpResponse:
        done = await self._signing_in.sign_up(request.email, request.password, request.username, request.device_name)
        return pb.SignUpResponse(account=_account(done.account), tokens=_tokens(done.tokens))

    async def SignInPassword(self, request: pb.SignInPasswordRequest, context: Context) -> pb.SignInPasswordResponse:
        done = await self._signing_in.password(request.email, request.password, request.device_name)
        return pb.SignInPasswordResponse(account=_account(done.account), tokens=_tokens(done.tokens))

    async def SignInBot(self, request: pb.SignInBotRequest, context: Context) -> pb.SignInBotResponse:
        done = await self._signing_in.bot(request.bot_token)
        return pb.SignInBotResponse(account=_account(done.account), tokens=_tokens(done.tokens))

    async def RefreshSession(self, request: pb.RefreshSessionRequest, context: Context) -> pb.RefreshSessionResponse:
        return pb.RefreshSessionResponse(tokens=_tokens(await self._signing_in.refresh(request.refresh_token)))

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.GetJwksResponse:
        keys = [
            pb.Jwk(
                kty="OKP",
                crv="Ed25519",
                x=base64.urlsafe_b64encode(key.public).decode().rstrip("="),
                kid=key.kid,
                use="sig",
                alg="EdDSA",
            )
            for key in self._keys.published
        ]
        return pb.GetJwksResponse(keys=keys, server_time=_timestamp(self._clock.now()))

    async def GetSelf(self, request: pb.GetSelfRequest, context: Context) -> pb.GetSelfResponse:
        return pb.GetSelfResponse(account=_account(await self._signing_in.account(_user().user_id)))

    async def SetUsername(self, request: pb.SetUsernameRequest, context: Context) -> pb.SetUsernameResponse:
        account = await self._signing_in.rename(_user().user_id, request.username)
        return pb.SetUsernameResponse(account=_account(account))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        user = _user()
        sessions, next_token = await self._session_pages.page(
            request,
            {"user_id": user.user_id},
            lambda before, limit: self._signing_in.sessions(user.user_id, before, limit),
            lambda session: (session.create_time, session.session_id),
        )
        return pb.ListSessionsResponse(
            sessions=[_session(s, user.session_id) for s in sessions], next_page_token=next_token
        )

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Context) -> pb.RevokeSessionResponse:
        await self._signing_in.revoke(_user().user_id, request.session_id)
        return pb.RevokeSessionResponse()

    async def CreateBot(self, request: pb.CreateBotRequest, context: Context) -> pb.CreateBotResponse:
        bot, token = await self._bots.create(_user().user_id, request.username)
        return pb.CreateBotResponse(bot=_bot(bot), bot_token=token)

    async def ListBots(self, request: pb.ListBotsRequest, context: Context) -> pb.ListBotsResponse:
        owner = _user().user_id
        bots, next_token = await self._bot_pages.page(
            request,
            {"owner_id": owner},
            lambda after, limit: self._bots.list(owner, after[0] if after else "", limit),
            lambda bot: (bot.user_id,),
        )
        return pb.ListBotsResponse(bots=[_bot(b) for b in bots], next_page_token=next_token)

    async def RotateBotToken(self, request: pb.RotateBotTokenRequest, context: Context) -> pb.RotateBotTokenResponse:
        bot, token = await self._bots.rotate(_user().user_id, request.bot_id)
        return pb.RotateBotTokenResponse(bot=_bot(bot), bot_token=token)

    async def DeleteBot(self, request: pb.DeleteBotRequest, context: Context) -> pb.DeleteBotResponse:
        await self._bots.delete(_user().user_id, request.bot_id)
        return pb.DeleteBotResponse()

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        async for session in self._sessions.revocations(self._clock.now() - self._replay):
            response = pb.WatchRevocationsResponse(session_id=session.session_id, user_id=session.user_id)
            if session.revoke_time is not None:
                response.revoke_time.FromDatetime(session.revoke_time)
            yield response


def _user() -> User:
    user = current_caller().user
    if user is None:
        raise errors.session_revoked()  # the guard lets nobody through; a service that calls for itself is nobody here
    return user


def _timestamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration


def _account(account: Account) -> pb.Account:
    return pb.Account(
        user_id=account.user_id,
        username=account.username,
        kind=_KINDS[account.kind],
        create_time=_timestamp(account.create_time),
        owner_id=account.owner_id or "",
    )


def _tokens(tokens: Tokens) -> pb.TokenPair:
    return pb.TokenPair(
        access_token=tokens.access_token,
        access_expires_in=_duration(tokens.access_seconds),
        refresh_token=tokens.refresh_token,
        refresh_expires_in=_duration(tokens.refresh_seconds),
        session_id=tokens.session_id,
    )


def _session(session: Session, current: str) -> pb.Session:
    return pb.Session(
        session_id=session.session_id,
        device_name=session.device_name,
        create_time=_timestamp(session.create_time),
        refresh_time=_timestamp(session.refresh_time),
        expire_time=_timestamp(session.expire_time),
        current=session.session_id == current,
    )


def _bot(bot: Account) -> pb.Bot:
    message = pb.Bot(
        bot_id=bot.user_id,
        username=bot.username,
        create_time=_timestamp(bot.create_time),
        token_prefix=bot.bot_token_prefix,
    )
    if bot.sign_in_time is not None:
        message.sign_in_time.CopyFrom(_timestamp(bot.sign_in_time))
    return message
