"""A service that ends does not wait for streams that would not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from worldmesh.identity.v1 import identity_service_pb2 as pb
from worldmesh.identity.v1 import identity_service_pb2_grpc as rpc
from worldmesh_kit import Kit, ServiceSettings
from worldmesh_kit._server import Address, serve
from worldmesh_kit.testing import dial, headers, service_settings

Context = grpc.aio.ServicerContext[Message, Message]
GATEWAY = headers(caller="spiffe://worldmesh/gateway")


class Servicer(rpc.IdentityServiceServicer):
    """Has a stream without an end, and calls that end when they may."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.called = asyncio.Event()
        self.may_end = asyncio.Event()

    async def WatchRevocations(  # noqa: N802
        self, request: pb.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        try:
            yield pb.WatchRevocationsResponse(session_id="ses_1")
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def GetJwks(self, request: pb.GetJwksRequest, context: Context) -> pb.GetJwksResponse:  # noqa: N802
        self.called.set()
        await self.may_end.wait()
        return pb.GetJwksResponse()


async def test_a_drain_ends_streams_at_once_and_lets_calls_be_done(tls_dir: Path) -> None:
    servicer = Servicer()

    @asynccontextmanager
    async def build(kit: Kit[ServiceSettings], _settings: ServiceSettings) -> AsyncIterator[None]:
        rpc.add_IdentityServiceServicer_to_server(servicer, kit.server)
        kit.serves("worldmesh.identity.v1.IdentityService")
        yield

    settings = ServiceSettings(**service_settings("identity", tls_dir) | {"drain_seconds": 60})  # type: ignore[arg-type]
    up: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    ends, drained = asyncio.Event(), asyncio.Event()

    async def serve_until_it_ends() -> None:
        async with serve(settings, build) as address:
            up.set_result(address)
            await ends.wait()
        drained.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_until_it_ends())
        async with dial(tls_dir, await up) as channel:
            stub = rpc.IdentityServiceStub(channel)
            stream = stub.WatchRevocations(pb.WatchRevocationsRequest(), metadata=GATEWAY)
            await stream.read()
            call = asyncio.ensure_future(stub.GetJwks(pb.GetJwksRequest(), metadata=GATEWAY))
            await servicer.called.wait()
            ends.set()
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stream.read()
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            await servicer.closed.wait()
            assert not drained.is_set()
            servicer.may_end.set()
            await call
            await drained.wait()
