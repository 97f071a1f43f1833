"""A socket that says whatever a test wants, right or wrong, and keeps what comes back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol
from worldmesh_client import DialectName, WorldmeshClient
from worldmesh_client import _frames as f
from worldmesh_client._dialect import dialect

from .people import PATIENCE, Places


class Raw:
    """One socket in one dialect."""

    def __init__(self, connection: ClientConnection, name: DialectName) -> None:
        self.connection = connection
        self.dialect = dialect(name)
        self.heard: list[f.ServerFrame] = []

    async def say(self, message: bytes | str, *, text: bool | None = None) -> None:
        """Sends a message as it is; `text` sends bytes as text."""
        await self.connection.send(message, text=text)

    async def frame(self, body: f.ClientBody, rid: int = 1) -> None:
        """Sends a good frame."""
        await self.say(self.dialect.encode(f.ClientFrame(rid, body)))

    async def next(self) -> f.ServerFrame:
        """The next frame that is no event."""
        while True:
            message = await asyncio.wait_for(self.connection.recv(), PATIENCE)
            frame = self.dialect.decode(message)
            self.heard.append(frame)
            if not isinstance(frame.body, f.RoomEvent | f.StateBatch):
                return frame

    async def error(self) -> tuple[int, str, int]:
        """The next frame, which is an error: its rid, reason and code."""
        frame = await self.next()
        assert isinstance(frame.body, f.Error), frame
        return frame.rid, frame.body.reason, frame.body.code

    async def farewell(self) -> tuple[int, str]:
        """Waits for the end: its code, and the reason of the error with rid 0 that comes before every close."""
        try:
            while True:
                await self.next()
        except ConnectionClosed:
            last = self.heard[-1]
            assert isinstance(last.body, f.Error), f"closed without an error frame: {last}"
            assert last.rid == 0
            assert self.connection.close_reason == last.body.reason
            return self.connection.close_code or 0, last.body.reason

    def errors(self) -> list[str]:
        """The reasons of the errors so far."""
        return [frame.body.reason for frame in self.heard if isinstance(frame.body, f.Error)]


@asynccontextmanager
async def raw(places: Places, name: DialectName, gateway: int = 0) -> AsyncIterator[Raw]:
    """A socket before hello."""
    tls = ssl.create_default_context(cafile=places.ca)
    url = places.gateways[gateway % len(places.gateways)]
    subprotocol = Subprotocol(dialect(name).subprotocol)
    async with connect(url, ssl=tls, subprotocols=[subprotocol], compression=None, ping_interval=None) as connection:
        yield Raw(connection, name)


@asynccontextmanager
async def welcomed(places: Places, name: DialectName, gateway: int = 0) -> AsyncIterator[Raw]:
    """A socket after a good hello of a new guest."""
    client = await WorldmeshClient.guest(places.rest)
    await client.session.close()
    async with raw(places, name, gateway) as socket:
        await socket.frame(f.Hello(client.session.access_token))
        assert isinstance((await socket.next()).body, f.Welcome)
        yield socket
