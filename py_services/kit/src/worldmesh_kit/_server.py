"""The life of a service: open in order, serve, drain, close in reverse."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from ._admin import Readiness, admin_server
from ._guard import Guard
from ._logging import configure_logging, get_logger
from ._settings import ServiceSettings, SettingsError, load_settings
from ._tls import TlsFiles
from ._tracing import tracing

log = get_logger(__name__)

S = TypeVar("S", bound=ServiceSettings)

_SERVER_OPTIONS: list[tuple[str, int]] = [
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a lottery
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Envoy pings every ten seconds; without this the server takes it for an attack and cuts the connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


@dataclass
class Kit(Generic[S]):
    """What a service registers itself on."""

    settings: S
    server: grpc.aio.Server
    """Add servicers to it, then name them with `serves`."""
    _services: list[str] = field(default_factory=list)
    _background: list[Coroutine[None, None, None]] = field(default_factory=list)

    def serves(self, *services: str) -> None:
        """Name the services that health and reflection tell of: `worldmesh.world.v1.WorldService`."""
        self._services.extend(services)

    def background(self, task: Coroutine[None, None, None]) -> None:
        """Run a task as long as the service serves. If it fails, the service stops with its error."""
        self._background.append(task)


Build = Callable[[Kit[S], S], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Address:
    """Where a service that is up can be reached."""

    grpc_port: int
    admin_port: int


@asynccontextmanager
async def serve(settings: S, build: Build[S]) -> AsyncIterator[Address]:
    """Run a service for as long as the context lasts; on leaving it drains. Tests use it, and `run` does."""
    async with AsyncExitStack() as stack:
        readiness = Readiness()
        admin_host, _, admin_port = settings.admin_addr.rpartition(":")
        admin = await stack.enter_async_context(admin_server(admin_host, int(admin_port), readiness))
        guard = Guard()
        server = grpc.aio.server(
            interceptors=[aio_server_interceptor(), guard],  # type: ignore[no-untyped-call]
            options=_SERVER_OPTIONS,
        )
        port = server.add_secure_port(settings.grpc_addr, TlsFiles(settings.tls_dir).server_credentials())
        kit = Kit(settings, server)
        await stack.enter_async_context(build(kit, settings))
        health = await _add_health(kit)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(task) for task in kit._background]
            await server.start()
            readiness.ready = True
            log.info("serving", grpc_port=port, admin_port=admin)
            try:
                yield Address(port, admin)
            finally:
                readiness.ready = False
                await health.enter_graceful_shutdown()
                for task in background:
                    task.cancel()
                guard.end_streams()
                await server.stop(settings.drain_seconds)
                log.info("drained")


async def _add_health(kit: Kit[S]) -> HealthServicer:
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, kit.server)
    for service in ("", *kit._services):
        await health.set(service, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection([*kit._services, "grpc.health.v1.Health", reflection.SERVICE_NAME], kit.server)
    return health


def run(kind: type[S], build: Build[S]) -> None:
    """Run a service until SIGTERM or SIGINT. A wrong setting is one line and exit status 1."""
    try:
        settings = load_settings(kind)
    except SettingsError as error:
        sys.exit(str(error))
    configure_logging(settings.log_level, settings.service, settings.instance)
    with tracing(settings.service, settings.instance):
        uvloop.run(_until_signal(settings, build))


async def _until_signal(settings: S, build: Build[S]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(settings, build):
        await stop.wait()
        log.info("draining", seconds=settings.drain_seconds)
