"""Identity as callers see it: the real server, the real database, both drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
import pytest_asyncio
from worldmesh.identity.v1 import identity_service_pb2 as pb
from worldmesh.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from worldmesh_identity.app import build
from worldmesh_identity.config import Settings
from worldmesh_kit import PageTokens, new_id
from worldmesh_kit.testing import headers, reason, running, service_settings

NOBODY = headers()
DEVICE = "a-secret-of-the-device-0001"
EMAIL, PASSWORD = "Ann@example.org", "correct horse battery"


@pytest_asyncio.fixture(params=["pymongo", "motor"])
async def identity(
    request: pytest.FixtureRequest, mongo_uri: str, tls_dir: Path, tmp_path: Path
) -> AsyncIterator[IdentityServiceStub]:
    settings = Settings(
        **service_settings("identity", tls_dir),  # type: ignore[arg-type]
        mongo_uri=mongo_uri,
        mongo_driver=request.param,
        mongo_database=new_id("identity"),
        identity_key_file=tmp_path / "identity.key",
        identity_bots=2,
    )
    async with running(settings, build, tls_dir) as up:
        yield IdentityServiceStub(up.channel)


async def guest(identity: IdentityServiceStub, device: str = DEVICE) -> pb.SignInGuestResponse:
    return await identity.SignInGuest(pb.SignInGuestRequest(device_id=device, device_name="test"), metadata=NOBODY)


async def sign_up(identity: IdentityServiceStub, name: str = "Ann") -> pb.SignUpResponse:
    request = pb.SignUpRequest(email=EMAIL, password=PASSWORD, username=name)
    return await identity.SignUp(request, metadata=NOBODY)


def as_user(account: pb.Account, tokens: pb.TokenPair) -> list[tuple[str, str]]:
    return headers(user_id=account.user_id, session_id=tokens.session_id)


async def refresh(identity: IdentityServiceStub, token: str) -> pb.TokenPair:
    response = await identity.RefreshSession(pb.RefreshSessionRequest(refresh_token=token), metadata=NOBODY)
    return response.tokens


async def test_a_device_is_always_the_same_guest_even_at_once(identity: IdentityServiceStub) -> None:
    answers = await asyncio.gather(*(guest(identity) for _ in range(20)))
    assert len({a.account.user_id for a in answers}) == 1
    assert len({a.tokens.session_id for a in answers}) == 20
    assert (await guest(identity, "another-secret-of-a-device")).account.user_id != answers[0].account.user_id


async def test_access_tokens_verify_by_the_published_keys_and_live_five_minutes(identity: IdentityServiceStub) -> None:
    done = await guest(identity)
    jwks = await identity.GetJwks(pb.GetJwksRequest(), metadata=NOBODY)
    kid = jwt.get_unverified_header(done.tokens.access_token)["kid"]
    jwk = next(k for k in jwks.keys if k.kid == kid)
    key = jwt.PyJWK({"kty": jwk.kty, "crv": jwk.crv, "x": jwk.x, "alg": jwk.alg})
    claims = jwt.decode(done.tokens.access_token, key, algorithms=["EdDSA"], audience="worldmesh", issuer="worldmesh")
    assert claims["sub"] == done.account.user_id
    assert claims["sid"] == done.tokens.session_id
    assert (claims["kind"], claims["scope"]) == ("guest", "client")
    assert claims["exp"] - claims["iat"] <= 300


async def test_signing_up_and_in_with_a_password(identity: IdentityServiceStub) -> None:
    made = await sign_up(identity)
    request = pb.SignInPasswordRequest(email=EMAIL.lower(), password=PASSWORD)
    done = await identity.SignInPassword(request, metadata=NOBODY)
    assert done.account.user_id == made.account.user_id
    assert done.account.kind == pb.ACCOUNT_KIND_PERSON


@pytest.mark.parametrize(("email", "password"), [(EMAIL, "wrong password"), ("nobody@example.org", PASSWORD)])
async def test_a_wrong_password_and_an_unknown_email_look_the_same(
    identity: IdentityServiceStub, email: str, password: str
) -> None:
    await sign_up(identity)
    call = identity.SignInPassword(pb.SignInPasswordRequest(email=email, password=password), metadata=NOBODY)
    assert await reason(call) == "CREDENTIALS_INVALID"


async def test_an_email_of_blanks_is_nobodys(identity: IdentityServiceStub) -> None:
    call = identity.SignInPassword(pb.SignInPasswordRequest(email="   ", password=PASSWORD), metadata=NOBODY)
    assert await reason(call) == "CREDENTIALS_INVALID"


async def test_guessing_a_password_is_slowed_down(identity: IdentityServiceStub) -> None:
    wrong = pb.SignInPasswordRequest(email=EMAIL, password="guess")
    reasons = [await reason(identity.SignInPassword(wrong, metadata=NOBODY)) for _ in range(11)]
    assert reasons == ["CREDENTIALS_INVALID"] * 10 + ["RATE_LIMITED"]


async def test_guesses_at_once_are_slowed_down_as_those_one_by_one(identity: IdentityServiceStub) -> None:
    wrong = pb.SignInPasswordRequest(email=EMAIL, password="guess")
    calls = (reason(identity.SignInPassword(wrong, metadata=NOBODY)) for _ in range(30))
    reasons = await asyncio.gather(*calls)
    # Of those at once some may have been too many for the processors, which are no guesses.
    reasons += [await reason(identity.SignInPassword(wrong, metadata=NOBODY)) for _ in range(11)]
    # An answer that is late by a hair was a guess, too.
    wrong_guesses = reasons.count("CREDENTIALS_INVALID")
    assert wrong_guesses <= 10 <= wrong_guesses + reasons.count("DEADLINE_EXCEEDED")
    assert set(reasons) <= {"RATE_LIMITED", "CREDENTIALS_INVALID", "DEADLINE_EXCEEDED"}


async def test_names_and_emails_are_unique_without_regard_to_case(identity: IdentityServiceStub) -> None:
    await sign_up(identity)
    for email, name, expected in ((EMAIL.upper(), "Other", "EMAIL_TAKEN"), ("b@example.org", "ANN", "USERNAME_TAKEN")):
        request = pb.SignUpRequest(email=email, password=PASSWORD, username=name)
        assert await reason(identity.SignUp(request, metadata=NOBODY)) == expected
    me = await guest(identity)
    rename = pb.SetUsernameRequest(username="aNN")
    assert await reason(identity.SetUsername(rename, metadata=as_user(me.account, me.tokens))) == "USERNAME_TAKEN"


async def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_session(identity: IdentityServiceStub) -> None:
    first = (await guest(identity)).tokens
    second = await refresh(identity, first.refresh_token)
    assert second.session_id == first.session_id
    again = pb.RefreshSessionRequest(refresh_token=first.refresh_token)
    assert await reason(identity.RefreshSession(again, metadata=NOBODY)) == "REFRESH_TOKEN_REUSED"
    newest = pb.RefreshSessionRequest(refresh_token=second.refresh_token)
    assert await reason(identity.RefreshSession(newest, metadata=NOBODY)) == "SESSION_REVOKED"


async def test_a_made_up_refresh_token_ends_nothing(identity: IdentityServiceStub) -> None:
    tokens = (await guest(identity)).tokens
    forged = pb.RefreshSessionRequest(refresh_token=f"wmr_{tokens.session_id}.guess")
    assert await reason(identity.RefreshSession(forged, metadata=NOBODY)) == "CREDENTIALS_INVALID"
    await refresh(identity, tokens.refresh_token)


async def test_of_one_refresh_token_used_twice_at_once_no_session_survives(identity: IdentityServiceStub) -> None:
    tokens = (await guest(identity)).tokens
    answers = await asyncio.gather(*(refresh(identity, tokens.refresh_token) for _ in range(2)), return_exceptions=True)
    won = [a for a in answers if isinstance(a, pb.TokenPair)]
    assert len(won) <= 1
    for pair in won:
        call = identity.RefreshSession(pb.RefreshSessionRequest(refresh_token=pair.refresh_token), metadata=NOBODY)
        assert await reason(call) == "SESSION_REVOKED"


async def test_sessions_are_listed_and_revoked(identity: IdentityServiceStub) -> None:
    here, there = await guest(identity), await guest(identity)
    me = as_user(here.account, here.tokens)
    listed = await identity.ListSessions(pb.ListSessionsRequest(page_size=1), metadata=me)
    rest = await identity.ListSessions(pb.ListSessionsRequest(page_token=listed.next_page_token), metadata=me)
    every = [*listed.sessions, *rest.sessions]
    assert [s.session_id for s in every] == [there.tokens.session_id, here.tokens.session_id]
    assert [s.current for s in every] == [False, True]
    revoke = pb.RevokeSessionRequest(session_id=there.tokens.session_id)
    for _ in range(2):
        await identity.RevokeSession(revoke, metadata=me)
    left = await identity.ListSessions(pb.ListSessionsRequest(), metadata=me)
    assert [s.session_id for s in left.sessions] == [here.tokens.session_id]
    call = identity.RefreshSession(pb.RefreshSessionRequest(refresh_token=there.tokens.refresh_token), metadata=NOBODY)
    assert await reason(call) == "SESSION_REVOKED"


async def test_a_forged_token_of_a_list_is_refused(identity: IdentityServiceStub) -> None:
    """Its checksum is good, for it has no key; what it says is no place in the list."""
    done = await guest(identity)
    me, user_id = as_user(done.account, done.tokens), done.account.user_id
    sessions = PageTokens("ListSessions", str, str).make(("yesterday", "ses_x"), {"user_id": user_id})
    call = identity.ListSessions(pb.ListSessionsRequest(page_token=sessions), metadata=me)
    assert await reason(call) == "INVALID_PAGE_TOKEN"
    bots = PageTokens("ListBots", str).make(("\ud800",), {"owner_id": user_id})
    assert await reason(identity.ListBots(pb.ListBotsRequest(page_token=bots), metadata=me)) == "INVALID_PAGE_TOKEN"


async def test_nobody_revokes_the_sessions_of_others(identity: IdentityServiceStub) -> None:
    ann, ben = await guest(identity), await guest(identity, "another-secret-of-a-device")
    call = identity.RevokeSession(
        pb.RevokeSessionRequest(session_id=ann.tokens.session_id), metadata=as_user(ben.account, ben.tokens)
    )
    assert await reason(call) == "SESSION_NOT_FOUND"


async def test_revocations_are_streamed_those_before_and_those_after(identity: IdentityServiceStub) -> None:
    before, after = await guest(identity), await guest(identity)
    me = as_user(before.account, before.tokens)
    await identity.RevokeSession(pb.RevokeSessionRequest(session_id=before.tokens.session_id), metadata=me)
    stream = identity.WatchRevocations(pb.WatchRevocationsRequest(), metadata=headers(caller="gateway"))
    first = await asyncio.wait_for(stream.read(), 10)
    await identity.RevokeSession(pb.RevokeSessionRequest(session_id=after.tokens.session_id), metadata=me)
    second = await asyncio.wait_for(stream.read(), 10)
    stream.cancel()
    assert [r.session_id for r in (first, second) if isinstance(r, pb.WatchRevocationsResponse)] == [
        before.tokens.session_id,
        after.tokens.session_id,
    ]


async def test_a_bots_token_is_shown_once_and_dies_when_it_is_replaced(identity: IdentityServiceStub) -> None:
    owner = await guest(identity)
    me = as_user(owner.account, owner.tokens)
    made = await identity.CreateBot(pb.CreateBotRequest(username="Robo"), metadata=me)
    done = await identity.SignInBot(pb.SignInBotRequest(bot_token=made.bot_token), metadata=NOBODY)
    assert (done.account.kind, done.account.owner_id) == (pb.ACCOUNT_KIND_BOT, owner.account.user_id)
    listed = await identity.ListBots(pb.ListBotsRequest(), metadata=me)
    assert made.bot_token not in str(listed)
    assert made.bot_token.startswith(listed.bots[0].token_prefix)
    new = await identity.RotateBotToken(pb.RotateBotTokenRequest(bot_id=made.bot.bot_id), metadata=me)
    old = identity.SignInBot(pb.SignInBotRequest(bot_token=made.bot_token), metadata=NOBODY)
    assert await reason(old) == "CREDENTIALS_INVALID"
    await identity.SignInBot(pb.SignInBotRequest(bot_token=new.bot_token), metadata=NOBODY)
    await identity.DeleteBot(pb.DeleteBotRequest(bot_id=made.bot.bot_id), metadata=me)
    gone = identity.SignInBot(pb.SignInBotRequest(bot_token=new.bot_token), metadata=NOBODY)
    assert await reason(gone) == "CREDENTIALS_INVALID"


async def robo(identity: IdentityServiceStub) -> tuple[pb.CreateBotResponse, list[tuple[str, str]]]:
    """A bot, and its owner's headers."""
    owner = await guest(identity)
    me = as_user(owner.account, owner.tokens)
    return await identity.CreateBot(pb.CreateBotRequest(username="Robo"), metadata=me), me


async def sign_in_bot(identity: IdentityServiceStub, bot_token: str) -> pb.SignInBotResponse:
    return await identity.SignInBot(pb.SignInBotRequest(bot_token=bot_token), metadata=NOBODY)


async def test_a_bot_renews_its_tokens_in_the_same_session(identity: IdentityServiceStub) -> None:
    """The gateway takes a new token for an open socket only if it is of the same session."""
    made, _ = await robo(identity)
    first = (await sign_in_bot(identity, made.bot_token)).tokens
    second = await refresh(identity, first.refresh_token)
    third = await refresh(identity, second.refresh_token)
    sessions, tokens = set(), set()
    for pair in (first, second, third):
        claims = jwt.decode(pair.access_token, options={"verify_signature": False})
        assert (claims["sub"], claims["kind"], claims["sid"]) == (made.bot.bot_id, "bot", pair.session_id)
        assert pair.refresh_expires_in.ToTimedelta() == timedelta(hours=1)
        sessions.add(pair.session_id)
        tokens.add(pair.access_token)
    assert (len(sessions), len(tokens)) == (1, 3)


async def test_instances_of_a_bot_have_sessions_of_their_own_that_all_end_with_its_token(
    identity: IdentityServiceStub,
) -> None:
    made, owner = await robo(identity)
    one, two, three = [(await sign_in_bot(identity, made.bot_token)).tokens for _ in range(3)]
    as_bot = headers(user_id=made.bot.bot_id, session_id=one.session_id)
    await identity.RevokeSession(pb.RevokeSessionRequest(session_id=one.session_id), metadata=as_bot)
    gone = identity.RefreshSession(pb.RefreshSessionRequest(refresh_token=one.refresh_token), metadata=NOBODY)
    assert await reason(gone) == "SESSION_REVOKED"
    two = await refresh(identity, two.refresh_token)
    await identity.RotateBotToken(pb.RotateBotTokenRequest(bot_id=made.bot.bot_id), metadata=owner)
    for tokens in (two, three):
        gone = identity.RefreshSession(pb.RefreshSessionRequest(refresh_token=tokens.refresh_token), metadata=NOBODY)
        assert await reason(gone) == "SESSION_REVOKED"


async def test_an_account_owns_so_many_bots(identity: IdentityServiceStub) -> None:
    owner = await guest(identity)
    me = as_user(owner.account, owner.tokens)
    for n in range(2):
        await identity.CreateBot(pb.CreateBotRequest(username=f"Robo{n}"), metadata=me)
    assert await reason(identity.CreateBot(pb.CreateBotRequest(username="Robo9"), metadata=me)) == "BOT_LIMIT_REACHED"


async def test_no_secret_is_logged(identity: IdentityServiceStub, capsys: pytest.CaptureFixture[str]) -> None:
    made = await sign_up(identity, "Canary")
    await reason(
        identity.SignInPassword(pb.SignInPasswordRequest(email=EMAIL, password="canary-wrong"), metadata=NOBODY)
    )
    tokens = (await guest(identity, "canary-device-secret-000001")).tokens
    await refresh(identity, tokens.refresh_token)
    said = capsys.readouterr()
    secrets = [EMAIL, EMAIL.lower(), PASSWORD, "canary-wrong", "canary-device-secret-000001", tokens.refresh_token]
    for secret in [*secrets, tokens.access_token, made.tokens.access_token]:
        assert secret not in said.out + said.err
