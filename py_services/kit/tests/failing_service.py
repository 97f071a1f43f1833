"""A service that fails with secrets in its hands, set up as `run` does it. Started by test_logging."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import grpc
from google.protobuf.message import Message
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from worldmesh.identity.v1 import identity_service_pb2 as pb
from worldmesh.identity.v1 import identity_service_pb2_grpc as rpc
from worldmesh_kit import Kit, ServiceSettings
from worldmesh_kit._logging import configure_logging
from worldmesh_kit._tracing import tracing
from worldmesh_kit.testing import headers, running, service_settings

Context = grpc.aio.ServicerContext[Message, Message]


class Servicer(rpc.IdentityServiceServicer):
    """Fails in each way in which an exception takes something along."""

    async def SignInPassword(  # noqa: N802
        self, request: pb.SignInPasswordRequest, context: Context
    ) -> pb.SignInPasswordResponse:
        password = request.password  # a local
        match request.device_name:
            case "local":
                raise RuntimeError("text")
            case "text":
                raise ValueError(f"{password!r} is no number")
            case "note":
                error = RuntimeError("text")
                error.add_note(password)
                raise error
            case "cause":
                try:
                    int(password)
                except ValueError as error:
                    raise RuntimeError("text") from error
            case "context":
                try:
                    int(password)
                except ValueError:
                    raise RuntimeError("text")  # noqa: B904 - that is what is tried
            case "group":
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._fail(password))
        return pb.SignInPasswordResponse()

    async def _fail(self, password: str) -> None:
        raise LookupError(password)


@contextlib.asynccontextmanager
async def build(kit: Kit[ServiceSettings], _settings: ServiceSettings) -> AsyncIterator[None]:
    rpc.add_IdentityServiceServicer_to_server(Servicer(), kit.server)
    yield


async def main(tls_dir: Path, password: str) -> None:
    settings = ServiceSettings(**service_settings("identity", tls_dir))  # type: ignore[arg-type]
    configure_logging(settings.log_level, settings.service, settings.instance)
    with tracing(settings.service, settings.instance):
        spans = cast("TracerProvider", trace.get_tracer_provider())
        spans.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
        async with running(settings, build, tls_dir) as up:
            stub = rpc.IdentityServiceStub(up.channel)
            for way in ("local", "text", "note", "cause", "context", "group"):
                request = pb.SignInPasswordRequest(email="ann@example.org", password=password, device_name=way)
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await stub.SignInPassword(request, metadata=headers())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
