"""A tiny gateway in the JSON dialect, for what the real one does not do on demand: lose sockets, fall silent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

Frame = dict[str, Any]
Handler = Callable[["Peer", Frame], Awaitable[None]]

USER = {"user_id": "usr_1", "username": "ann", "bot": False}


def session_of(frame: Frame) -> str:
    """The session of a token `access-<session>.<number>`."""
    return str(frame["access_token"]).partition(".")[0]


class Peer:
    """One client's socket as the fake sees it."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.session = ""

    async def send(self, **frame: Any) -> None:
        """Sends a frame, for example `send(rid=1, ok={})`."""
        await self.connection.send(json.dumps(frame))


class FakeGateway:
    """Answers hello and join, keeps what it heard, and leaves the rest to a handler."""

    def __init__(self, handler: Handler | None = None, token_expires_in_ms: int = 300_000) -> None:
        self.url = ""
        self.heard: list[Frame] = []
        self.refused: list[Frame] = []
        self.peers: list[Peer] = []
        self.heartbeat_ms = 15_000
        self.token_expires_in_ms = token_expires_in_ms
        self._handler = handler
        self._news = asyncio.Event()

    async def serve(self, connection: ServerConnection) -> None:
        """Serves one socket until it ends."""
        peer = Peer(connection, len(self.peers))
        self.peers.append(peer)
        async for message in connection:
            frame = json.loads(message)
            self.heard.append(frame)
            self._news.set()
            await self._answer(peer, frame)

    async def _answer(self, peer: Peer, frame: Frame) -> None:
        rid = frame.get("rid", 0)
        if "hello" in frame:
            peer.session = session_of(frame["hello"])
            welcome = {
                "gateway_session_id": f"gws_{peer.number}",
                "user": USER,
                "heartbeat_ms": self.heartbeat_ms,
                "token_expires_in_ms": self.token_expires_in_ms,
            }
            await peer.send(rid=rid, welcome=welcome)
        elif "join" in frame:
            await peer.send(rid=rid, snapshot={"room_id": frame["join"]["room_id"], "members": []})
        elif "refresh" in frame and session_of(frame["refresh"]) != peer.session:
            self.refused.append(frame)
            await peer.send(rid=rid, error={"reason": "TOKEN_INVALID", "code": 16})
        elif "refresh" in frame:
            await peer.send(rid=rid, ok={})
        elif self._handler is not None:
            await self._handler(peer, frame)

    async def heard_of(self, kind: str, count: int = 1) -> list[Frame]:
        """Waits until so many frames of a kind have come."""
        async with asyncio.timeout(5):
            while len(found := [f for f in self.heard if kind in f]) < count:
                self._news.clear()
                await self._news.wait()
        return found


@asynccontextmanager
async def fake_gateway(handler: Handler | None = None, **options: int) -> AsyncIterator[FakeGateway]:
    """A fake gateway that listens on a port of its own."""
    fake = FakeGateway(handler, **options)
    subprotocol = Subprotocol("worldmesh.v1.json")
    async with serve(fake.serve, "127.0.0.1", 0, subprotocols=[subprotocol]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}/ws"
        yield fake
