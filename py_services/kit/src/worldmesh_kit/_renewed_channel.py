"""A channel whose certificates are renewed. gRPC reads them when a channel is opened and never again, so when there are
others another channel is opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

import grpc

from ._tls import Renewals, TlsFiles

LOOK_SECONDS = 10.0
"""How often files are looked at, while there are calls."""
_GRACE_SECONDS = 60.0
"""How long calls on the channel before may take."""

# gRPC's own types of what calls a method are of any message.
_Make = Callable[[grpc.aio.Channel], Callable[..., Any]]


class RenewedChannel(grpc.aio.Channel):
    """Calls go by the newest channel; those under way end on theirs."""

    def __init__(self, files: TlsFiles, open_channel: Callable[[], grpc.aio.Channel]) -> None:
        self._open = open_channel
        self._renewals = Renewals(files)
        self._channel = open_channel()
        self._looked = time.monotonic()
        self._closing: set[asyncio.Task[None]] = set()

    def current(self) -> grpc.aio.Channel:
        """The channel for a call that begins now."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._renewals.renewed():
                closing = asyncio.ensure_future(self._channel.close(_GRACE_SECONDS))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
                self._channel = self._open()
        return self._channel

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close it, and wait for what is still closing."""
        await self._channel.close(grace)
        for closing in tuple(self._closing):
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Of the newest channel."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Of the newest channel."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Of the newest channel."""
        await self._channel.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """As gRPC's."""
        method = _Method(self, lambda channel: channel.unary_unary(*args, **kwargs))
        return cast("grpc.aio.UnaryUnaryMultiCallable[Any, Any]", method)

    def unary_stream(self, *args: Any, **kwargs: Any) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        """As gRPC's."""
        method = _Method(self, lambda channel: channel.unary_stream(*args, **kwargs))
        return cast("grpc.aio.UnaryStreamMultiCallable[Any, Any]", method)

    def stream_unary(self, *args: Any, **kwargs: Any) -> grpc.aio.StreamUnaryMultiCallable[Any, Any]:
        """As gRPC's."""
        method = _Method(self, lambda channel: channel.stream_unary(*args, **kwargs))
        return cast("grpc.aio.StreamUnaryMultiCallable[Any, Any]", method)

    def stream_stream(self, *args: Any, **kwargs: Any) -> grpc.aio.StreamStreamMultiCallable[Any, Any]:
        """As gRPC's."""
        method = _Method(self, lambda channel: channel.stream_stream(*args, **kwargs))
        return cast("grpc.aio.StreamStreamMultiCallable[Any, Any]", method)


class _Method:
    """Calls a method by the channel of the time."""

    def __init__(self, channel: RenewedChannel, make: _Make) -> None:
        self._channel = channel
        self._make = make
        self._of = channel.current()
        self._made = make(self._of)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (channel := self._channel.current()) is not self._of:
            self._of, self._made = channel, self._make(channel)
        return self._made(*args, **kwargs)
