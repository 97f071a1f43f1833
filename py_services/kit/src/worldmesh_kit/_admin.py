"""Metrics and health by plain HTTP, for operators on the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

_MAX_REQUEST = 8192
_TIMEOUT = 5.0


@dataclass
class Readiness:
    """Whether the service wants calls."""

    ready: bool = False


@asynccontextmanager
async def admin_server(host: str, port: int, readiness: Readiness) -> AsyncIterator[int]:
    """Serve /metrics, /livez and /readyz; yields the port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_respond(head, readiness))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, host, port, limit=_MAX_REQUEST)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _respond(head: bytes, readiness: Readiness) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method != b"GET":
        return _response("405 Method Not Allowed", b"GET only\n")
    if path == b"/metrics":
        return _response("200 OK", generate_latest(), CONTENT_TYPE_LATEST)
    if path == b"/livez":
        return _response("200 OK", b"ok\n")
    if path == b"/readyz":
        if readiness.ready:
            return _response("200 OK", b"ok\n")
        return _response("503 Service Unavailable", b"not ready\n")
    return _response("404 Not Found", b"/metrics, /livez, /readyz\n")


def _response(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
