"""The one channel by which a service reaches all others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import cast

import grpc
from google.protobuf.message import Message
from grpc.aio import ClientCallDetails, UnaryUnaryCall, UnaryUnaryClientInterceptor
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from ._deadline import remaining
from ._metrics import CLIENT_CALLS
from ._renewed_channel import RenewedChannel
from ._settings import ServiceSettings
from ._tls import MESH_SERVER_NAME, TlsFiles

_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.ssl_target_name_override", MESH_SERVER_NAME),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),  # Envoy retries; nobody else does
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class _Calls(UnaryUnaryClientInterceptor):
    """Gives every call a deadline, and counts it."""

    # The stubs make this generic over every message type at once; it is so over Message.
    async def intercept_unary_unary(  # type: ignore[override]
        self,
        continuation: Callable[[ClientCallDetails, Message], Awaitable[UnaryUnaryCall[Message, Message]]],
        client_call_details: ClientCallDetails,
        request: Message,
    ) -> UnaryUnaryCall[Message, Message]:
        start = time.perf_counter()
        details = client_call_details
        if details.timeout is None:
            details = ClientCallDetails(
                details.method, remaining(), details.metadata, details.credentials, details.wait_for_ready
            )
        call = await continuation(details, request)
        try:
            code = await call.code()
        except asyncio.CancelledError:
            call.cancel()  # gRPC does not know that nobody waits for it any more
            _count(details, grpc.StatusCode.CANCELLED, start)
            raise
        _count(details, code, start)
        return call


def _count(details: ClientCallDetails, code: grpc.StatusCode, start: float) -> None:
    method = cast("str | bytes", details.method)
    name = method.decode() if isinstance(method, bytes) else method
    CLIENT_CALLS.labels(name.lstrip("/"), code.name).observe(time.perf_counter() - start)


def mesh_channel(settings: ServiceSettings) -> grpc.aio.Channel:
    """Open the channel to the mesh Envoy: mTLS with the service's certificate. The caller closes it."""
    files = TlsFiles(settings.tls_dir)

    def open_channel() -> grpc.aio.Channel:
        return grpc.aio.secure_channel(
            settings.mesh_addr,
            files.channel_credentials(),
            options=_OPTIONS,
            interceptors=[*aio_client_interceptors(), _Calls()],  # type: ignore[no-untyped-call]
        )

    return RenewedChannel(files, open_channel)
