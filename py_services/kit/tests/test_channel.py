"""A service that calls another: two of them, with the kit on both sides, in the test's own process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from opentelemetry import trace
from prometheus_client import REGISTRY
from worldmesh.world.v1 import world_service_pb2 as pb
from worldmesh.world.v1 import world_service_pb2_grpc as rpc
from worldmesh_kit import DomainError, ErrorReason, Kit, ServiceSettings, mesh_channel, serve
from worldmesh_kit.testing import Running, headers, reason, running, service_settings

Context = grpc.aio.ServicerContext[Message, Message]

GET_ROOM = "worldmesh.world.v1.WorldService/GetRoom"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


class Callee(rpc.WorldServiceServicer):
    """Says what it sees of a call."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def GetRoom(self, request: pb.GetRoomRequest, context: Context) -> pb.GetRoomResponse:  # noqa: N802
        match request.room_id:
            case "slow":
                self.begun.set()
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case "missing":
                raise DomainError(
                    grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ROOM_NOT_FOUND, "no such room", {"room": "x"}
                )
        seen = {
            "seconds": context.time_remaining(),
            "x-room-id": dict(context.invocation_metadata()).get("x-room-id"),
            "trace_id": trace.format_trace_id(trace.get_current_span().get_span_context().trace_id),
        }
        return pb.GetRoomResponse(room=pb.Room(description=json.dumps(seen)))


class Caller(rpc.WorldServiceServicer):
    """Passes a call on."""

    def __init__(self, world: rpc.WorldServiceStub) -> None:
        self._world = world

    async def GetRoom(self, request: pb.GetRoomRequest, context: Context) -> pb.GetRoomResponse:  # noqa: N802
        return await self._world.GetRoom(request, metadata=[("x-room-id", request.room_id)])


@pytest.fixture
def callee() -> Callee:
    return Callee()


@pytest_asyncio.fixture
async def mesh_addr(callee: Callee, tls_dir: Path) -> AsyncIterator[str]:
    """A service that is dialled as the mesh Envoy is."""

    @asynccontextmanager
    async def build(kit: Kit[ServiceSettings], _settings: ServiceSettings) -> AsyncIterator[None]:
        rpc.add_WorldServiceServicer_to_server(callee, kit.server)
        yield

    settings = ServiceSettings(**service_settings("callee", tls_dir / "mesh"))  # type: ignore[arg-type]
    async with serve(settings, build) as address:
        yield f"127.0.0.1:{address.grpc_port}"


async def calling(mesh_addr: str, tls_dir: Path) -> AsyncIterator[Running]:
    @asynccontextmanager
    async def build(kit: Kit[ServiceSettings], settings: ServiceSettings) -> AsyncIterator[None]:
        async with mesh_channel(settings) as channel:
            rpc.add_WorldServiceServicer_to_server(Caller(rpc.WorldServiceStub(channel)), kit.server)
            yield

    settings = service_settings("caller", tls_dir) | {"mesh_addr": mesh_addr}
    async with running(ServiceSettings(**settings), build, tls_dir) as up:  # type: ignore[arg-type]
        yield up


@pytest_asyncio.fixture
async def caller(mesh_addr: str, tls_dir: Path) -> AsyncIterator[Running]:
    """A service that calls the other one."""
    async for up in calling(mesh_addr, tls_dir):
        yield up


def get(service: Running, room_id: str = "room_a", *more: tuple[str, str], timeout: float | None = None) -> Any:
    request = pb.GetRoomRequest(room_id=room_id)
    return rpc.WorldServiceStub(service.channel).GetRoom(request, metadata=[*headers(), *more], timeout=timeout)


async def seen(call: Awaitable[pb.GetRoomResponse]) -> dict[str, Any]:
    """What the callee saw."""
    return cast("dict[str, Any]", json.loads((await call).room.description))


def counted(code: str) -> float:
    """How many calls of ours have ended so."""
    labels = {"rpc_method": GET_ROOM, "rpc_grpc_status_code": code}
    return REGISTRY.get_sample_value("rpc_client_call_duration_seconds_count", labels) or 0.0


async def test_a_call_inherits_what_is_left_of_the_callers_deadline(caller: Running) -> None:
    assert 0.3 < (await seen(get(caller, timeout=0.9)))["seconds"] <= 0.9


async def test_a_call_inherits_the_time_of_the_contract_if_the_caller_has_set_none(caller: Running) -> None:
    assert 1.0 < (await seen(get(caller)))["seconds"] <= 2.0


async def test_when_the_deadline_passes_both_services_stop(caller: Running, callee: Callee) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await get(caller, "slow", timeout=0.3)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(callee.cancelled.wait(), 5)


async def test_a_caller_that_goes_away_stops_both_services(caller: Running, callee: Callee) -> None:
    before = counted("CANCELLED")
    call = asyncio.ensure_future(get(caller, "slow"))
    await asyncio.wait_for(callee.begun.wait(), 5)
    call.cancel()
    await asyncio.wait_for(callee.cancelled.wait(), 1.5)  # sooner than the contract's two seconds
    assert counted("CANCELLED") == before + 1


async def test_metadata_and_trace_go_along(caller: Running) -> None:
    got = await seen(get(caller, "room_a", ("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01")))
    assert (got["x-room-id"], got["trace_id"]) == ("room_a", TRACE_ID)


async def test_calls_are_counted_by_method_and_status(caller: Running) -> None:
    codes = ("OK", "NOT_FOUND")
    before = [counted(code) for code in codes]
    await get(caller)
    assert await reason(get(caller, "missing")) == "ROOM_NOT_FOUND"
    assert [counted(code) for code in codes] == [n + 1 for n in before]


async def test_an_error_of_the_other_service_keeps_its_code_and_details(caller: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await get(caller, "missing")
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.NOT_FOUND, "no such room")
    assert b"room" in dict(raised.value.trailing_metadata())["grpc-status-details-bin"]  # type: ignore[operator]


async def test_a_service_that_is_not_there_is_unavailable_and_no_defect(tls_dir: Path) -> None:
    async for lonely in calling("127.0.0.1:1", tls_dir):
        assert await reason(get(lonely)) == "UNAVAILABLE"
