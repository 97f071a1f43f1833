"""One WebSocket: requests and their answers, what is not asked for, and the heartbeat. It does not come
back."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from ._dialect import Dialect
from ._errors import ConnectionClosedError, ProtocolError, RequestError, from_frame
from ._frames import (
    Chat,
    ClientBody,
    ClientFrame,
    Emote,
    Error,
    Hello,
    Leave,
    Ping,
    RoomLeft,
    ServerBody,
    Unknown,
    Welcome,
    Whisper,
)

_UNAVAILABLE = 14  # gRPC's code
_GOODBYE = 2.0  # seconds to wait for the server's close frame
_MAX_FRAME = 4 << 20  # a snapshot of a full room is the largest that a server sends: 5000 members with all their values


class Socket:
    """An open, welcomed socket. Made by `Socket.open`."""

    def __init__(
        self, connection: ClientConnection, dialect: Dialect, on_event: Callable[[ServerBody | Unknown], None]
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._on_event = on_event
        self._answers: dict[int, asyncio.Future[ServerBody | Unknown]] = {}
        self._to_room: set[int] = set()
        self._rid = 0
        self._last_error: RequestError | None = None
        self._last_sent = self._last_ping = 0.0
        self._last_heard = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self.closed: asyncio.Future[ConnectionClosedError] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(
        cls,
        url: str,
        dialect: Dialect,
        hello: Hello,
        on_event: Callable[[ServerBody | Unknown], None],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> tuple[Socket, Welcome]:
        """Connects and says hello. Raises RequestError or ConnectionClosedError."""
        try:
            connection = await connect(
                url,
                ssl=tls,
                subprotocols=[Subprotocol(dialect.subprotocol)],
                ping_interval=None,  # the protocol has a heartbeat of its own
                compression=None,
                close_timeout=_GOODBYE,
                max_size=_MAX_FRAME,
            )
        except (OSError, InvalidHandshake) as e:
            raise ConnectionClosedError(1006, f"{type(e).__name__}: {e}") from e
        socket = cls(connection, dialect, on_event)
        socket._tasks.append(asyncio.create_task(socket._read()))
        try:
            welcome = await socket.request(hello)
            if not isinstance(welcome, Welcome):
                raise ProtocolError(f"hello was answered with {type(welcome).__name__}")
        except BaseException:
            await socket.close()
            raise
        socket._tasks.append(asyncio.create_task(socket._beat(welcome.heartbeat_ms / 1000)))
        return socket, welcome

    async def request(self, body: ClientBody) -> ServerBody | Unknown:
        """Sends a frame and waits for its answer. Raises RequestError if that is an error frame."""
        if self.closed.done():
            raise self.closed.result()
        rid = self._next_rid()
        answer = asyncio.get_running_loop().create_future()
        self._answers[rid] = answer
        if isinstance(body, Chat | Whisper | Emote | Leave):
            self._to_room.add(rid)
        try:
            await self.send(body, rid)
            result: ServerBody | Unknown = await answer
        finally:
            self._answers.pop(rid, None)
            answer.cancel()  # nobody waits for it any more
            self._to_room.discard(rid)
        if isinstance(result, Error):
            raise from_frame(result)
        return result

    async def send(self, body: ClientBody, rid: int = 0) -> None:
        """Sends a frame; waits only for room in the socket's buffer."""
        self._last_sent = time.monotonic()
        try:
            await self._connection.send(self._dialect.encode(ClientFrame(rid, body)))
        except ConnectionClosed as e:
            raise _closed(e) from e

    async def close(self) -> None:
        """Says goodbye (1000) and waits until it is said."""
        await self._connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end(ConnectionClosedError(1000))

    async def _read(self) -> None:
        end = ConnectionClosedError(1006)
        try:
            async for message in self._connection:
                self._last_heard = time.monotonic()
                self._take(message)
            end = _closed(self._connection)
        except ConnectionClosed as e:
            end = _closed(e)
        except ProtocolError as e:
            end = ConnectionClosedError(1002, str(e))
            await self._connection.close(1002)
        finally:
            self._end(end)

    def _take(self, message: bytes | str) -> None:
        frame = self._dialect.decode(message)
        if frame.rid:  # known or not, it is an answer
            answer = self._answers.get(frame.rid)
            if answer is not None and not answer.done():
                answer.set_result(frame.body)
        elif isinstance(frame.body, Error):
            self._last_error = from_frame(frame.body)
        else:
            if isinstance(frame.body, RoomLeft):
                self._room_ended(frame.body)
            self._on_event(frame.body)

    def _room_ended(self, left: RoomLeft) -> None:
        """What was on its way to the room is not answered any more."""
        for rid in self._to_room & self._answers.keys():
            if not self._answers[rid].done():
                self._answers[rid].set_exception(RequestError(left.reason, "the room ended meanwhile", _UNAVAILABLE))

    async def _beat(self, interval: float) -> None:
        """Pings when nothing was sent or heard for the interval; gives a server up that is silent for twice as long."""
        while interval > 0:
            quiet_since = min(self._last_sent, self._last_heard)
            await asyncio.sleep(max(quiet_since + interval - time.monotonic(), interval / 100))
            now = time.monotonic()
            if now - self._last_heard > 2 * interval:
                await self._connection.close(1001, "the server is silent")
                return
            if now - self._last_sent >= interval or now - max(self._last_heard, self._last_ping) >= interval:
                self._last_ping = now
                try:
                    await self.send(Ping(int(time.time() * 1000)), self._next_rid())
                except ConnectionClosedError:
                    return  # whoever reads finds out, too, and tells

    def _next_rid(self) -> int:
        self._rid = self._rid % 0xFFFF_FFFF + 1
        return self._rid

    def _end(self, why: ConnectionClosedError) -> None:
        why.error = self._last_error
        if not self.closed.done():
            self.closed.set_result(why)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(why)
                answer.exception()  # who asked may be about to find out by itself


def _closed(closed: ConnectionClosed | ClientConnection) -> ConnectionClosedError:
    if isinstance(closed, ConnectionClosed):
        received = closed.rcvd or closed.sent
        return ConnectionClosedError(received.code if received else 1006, received.reason if received else "")
    return ConnectionClosedError(closed.close_code or 1006, closed.close_reason or "")
