"""The way in: handshake, hello, tokens that are no good, and sessions that end."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ulid import ULID
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol
from worldmesh_client import Advice, DialectName, WorldmeshClient, advice
from worldmesh_client import _frames as f
from worldmesh_messages.worldmesh.identity.v1 import ListSessionsRequest, RevokeSessionRequest

from .people import Places, gather, new_room, person
from .raw import raw, welcomed

BOTH: list[DialectName] = ["flatbuffers", "json"]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("body", [f.Chat("hi"), f.Ping(1), f.Join("room_plaza")], ids=["chat", "ping", "join"])
async def test_anything_before_hello_closes_with_1008(places: Places, name: DialectName, body: Any) -> None:
    async with raw(places, name) as socket:
        await socket.frame(body)
        assert await socket.farewell() == (1008, "HELLO_EXPECTED")


@pytest.mark.parametrize("name", BOTH)
async def test_a_second_hello_closes_with_1008(places: Places, name: DialectName) -> None:
    async with welcomed(places, name) as socket:
        await socket.frame(f.Hello("token"))
        assert await socket.farewell() == (1008, "HELLO_EXPECTED")


async def test_no_hello_in_five_seconds_closes_with_4200(places: Places) -> None:
    async with raw(places, "json") as socket:
        start = time.monotonic()
        assert await socket.farewell() == (4200, "TOKEN_MISSING")
        assert 4.0 < time.monotonic() - start < 9.0


# ------------------------------------------------------------------------------------------ tokens


@pytest.fixture(scope="module")
async def token(places: Places) -> str:
    """A good access token."""
    client = await WorldmeshClient.guest(places.rest)
    await client.session.close()
    return client.session.access_token


def forged(token: str, how: str) -> str:
    """A token that is almost good."""
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    first, second, signature = token.split(".")
    stranger = Ed25519PrivateKey.generate()
    match how:
        case "no token at all":
            return "token"
        case "signed by a stranger":
            return jwt.encode(claims, stranger, "EdDSA", {"kid": header["kid"]})
        case "of an unknown key":
            return jwt.encode(claims, stranger, "EdDSA", {"kid": "key_unknown"})
        case "unsigned":
            return jwt.encode(claims, "", "none", {"kid": header["kid"]})
        case "of another user":
            other = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "usr_other"}).encode()).decode().rstrip("=")
            return f"{first}.{other}.{signature}"
        case "signed with the public key as a secret":
            return jwt.encode(claims, header["kid"] * 4, "HS256", {"kid": header["kid"]})
        case _:
            return f"{first}.{second}."


FORGERIES = [
    *("no token at all", "signed by a stranger", "of an unknown key", "unsigned", "of another user"),
    *("signed with the public key as a secret", "without its signature"),
]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("how", FORGERIES)
async def test_a_forged_token_closes_with_4201(places: Places, name: DialectName, how: str, token: str) -> None:
    async with raw(places, name) as socket:
        await socket.frame(f.Hello(forged(token, how)))
        assert await socket.farewell() == (4201, "TOKEN_INVALID")


def minted(world: Any, user_id: str, seconds: int) -> str:
    """A token that identity's own key has signed."""
    script = Path(__file__).parent / "mint.py"
    arguments = (user_id, f"ses_{ULID()}", str(seconds))
    done = world.command("run-as", "identity", "--", sys.executable, str(script), *arguments)
    return str(done.stdout.strip())


async def test_an_expired_token_closes_with_4202(places: Places, world: Any) -> None:
    old = minted(world, f"usr_{ULID()}", -60)
    async with raw(places, "json") as socket:
        await socket.frame(f.Hello(old))
        assert await socket.farewell() == (4202, "TOKEN_EXPIRED")


async def test_a_token_that_expires_closes_its_open_socket_with_4202(places: Places, world: Any) -> None:
    short = minted(world, f"usr_{ULID()}", 3)
    async with raw(places, "flatbuffers") as socket:
        await socket.frame(f.Hello(short))
        welcome = (await socket.next()).body
        assert isinstance(welcome, f.Welcome)
        assert welcome.token_expires_in_ms <= 3000
        assert await socket.farewell() == (4202, "TOKEN_EXPIRED")
        assert advice(4202) is Advice.NEW_TOKEN


async def test_a_refresh_with_a_bad_token_leaves_the_good_one(places: Places) -> None:
    async with welcomed(places, "json") as socket:
        await socket.frame(f.Refresh("token"), rid=3)
        assert await socket.error() == (3, "TOKEN_INVALID", 16)
        await socket.frame(f.Ping(1), rid=4)
        assert isinstance((await socket.next()).body, f.Pong)


async def test_a_refresh_with_somebody_elses_token_is_refused(places: Places, token: str) -> None:
    async with welcomed(places, "flatbuffers") as socket:
        await socket.frame(f.Refresh(token), rid=3)
        assert await socket.error() == (3, "TOKEN_INVALID", 16)


# ------------------------------------------------------------------------------------------ revocation


@pytest.mark.parametrize("gateway", [0, 1])
async def test_a_revoked_session_loses_its_socket_within_a_second(places: Places, gateway: int) -> None:
    device_id = f"a-device-{ULID()}"
    phone = await WorldmeshClient.guest(places.rest, device_id, places.options(0))
    async with phone, person(places, gateway, "json") as bystander:
        lost = await WorldmeshClient.guest(places.rest, device_id, places.options(gateway))
        async with lost:
            await gather([bystander], await new_room(bystander))
            start = time.monotonic()
            await phone.call(RevokeSessionRequest(session_id=lost.session.session_id))
            assert lost._socket is not None
            end = await asyncio.wait_for(asyncio.shield(lost._socket.closed), 5)
            took = time.monotonic() - start
        assert end.code == 4203
        assert took < 1.0, f"it took {took:.2f} s"
        sessions = (await phone.call(ListSessionsRequest())).sessions
        assert lost.session.session_id not in [session.session_id for session in sessions]
        await bystander.client.chat("still here")
        async with raw(places, "json", gateway) as socket:
            await socket.frame(f.Hello(lost.session.access_token))
            assert await socket.farewell() == (4203, "SESSION_REVOKED")


# ------------------------------------------------------------------------------------------ handshake


def upgrade(places: Places, subprotocols: list[str] | None, *, path: str = "/ws", origin: str | None = None) -> connect:
    return connect(
        places.gateways[0].removesuffix("/ws") + path,
        ssl=ssl.create_default_context(cafile=places.ca),
        subprotocols=[Subprotocol(name) for name in subprotocols] if subprotocols else None,
        origin=Origin(origin) if origin else None,
        compression=None,
    )


async def test_an_unknown_subprotocol_closes_with_4300(places: Places) -> None:
    async with upgrade(places, ["worldmesh.v9.json"]) as connection:
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert (connection.close_code, connection.close_reason) == (4300, "UNSUPPORTED_PROTOCOL")
        assert advice(4300) is Advice.NEVER


@pytest.mark.parametrize(
    ("subprotocols", "path", "origin", "status"),
    [
        (None, "/ws", None, 400),
        (["worldmesh.v1.json"], "/other", None, 404),
        (["worldmesh.v1.json"], "/ws", "https://evil.example", 403),
        (["worldmesh.v1.json"], "/ws", "null", 403),
    ],
    ids=["no subprotocol", "another path", "another origin", "no origin that is one"],
)
async def test_a_handshake_that_is_refused(
    places: Places, subprotocols: list[str] | None, path: str, origin: str | None, status: int
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with upgrade(places, subprotocols, path=path, origin=origin):
            pass
    assert caught.value.response.status_code == status


async def framing(places: Places, frame: bytes) -> int:
    """Sends bytes below WebSocket after a good handshake, over plain TCP, and returns the close code."""
    url = urlsplit(places.where["gateways_ws"][0])
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(
        f"GET /ws HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: worldmesh.v1.json\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(frame)
    try:
        opcode, payload = await asyncio.wait_for(_frame(reader), 5)
        while opcode != 8:
            opcode, payload = await asyncio.wait_for(_frame(reader), 5)
    finally:
        writer.close()
    return int.from_bytes(payload[:2], "big")


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Opcode and payload of a server's frame, which is short here."""
    head = await reader.readexactly(2)
    length = head[1] if head[1] < 126 else int.from_bytes(await reader.readexactly(2), "big")
    return head[0] & 0xF, await reader.readexactly(length)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x02{}",
        b"\xc1\x80\x00\x00\x00\x00",
        b"\x83\x80\x00\x00\x00\x00",
        b"\x80\x80\x00\x00\x00\x00",
        b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126,
    ],
    ids=["unmasked", "reserved bit", "reserved opcode", "continuation of nothing", "ping too long"],
)
async def test_broken_websocket_framing_closes_with_1002(places: Places, frame: bytes) -> None:
    assert await framing(places, frame) == 1002
