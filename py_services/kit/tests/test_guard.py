"""What stands before every handler, over a real server with mTLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from worldmesh.world.v1 import world_service_pb2 as pb
from worldmesh.world.v1 import world_service_pb2_grpc as rpc
from worldmesh_kit import DomainError, ErrorReason, Kit, ServiceSettings, current_caller
from worldmesh_kit.testing import Running, headers, running, service_settings

Context = grpc.aio.ServicerContext[Message, Message]


class Servicer(rpc.WorldServiceServicer):
    """Answers so that tests see what the guard did."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def GetRoom(self, request: pb.GetRoomRequest, context: Context) -> pb.GetRoomResponse:  # noqa: N802
        match request.room_id:
            case "slow":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case "broken":
                raise RuntimeError("the secret of the machine")
            case "busy":
                raise DomainError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    ErrorReason.ERROR_REASON_RATE_LIMITED,
                    "wait",
                    {"limit": "3"},
                    retry_after=timedelta(seconds=2),
                )
        caller = current_caller()
        name = f"{caller.service}/{caller.user.user_id if caller.user else ''}"
        return pb.GetRoomResponse(room=pb.Room(display_name=name))

    async def DeleteRoom(self, request: pb.DeleteRoomRequest, context: Context) -> pb.DeleteRoomResponse:  # noqa: N802
        return pb.DeleteRoomResponse()


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()


@pytest_asyncio.fixture
async def service(servicer: Servicer, tls_dir: Path) -> AsyncIterator[Running]:
    @asynccontextmanager
    async def build(kit: Kit[ServiceSettings], _settings: ServiceSettings) -> AsyncIterator[None]:
        rpc.add_WorldServiceServicer_to_server(servicer, kit.server)
        kit.serves("worldmesh.world.v1.WorldService")
        yield

    settings = ServiceSettings(**service_settings("world", tls_dir))  # type: ignore[arg-type]
    async with running(settings, build, tls_dir) as up:
        yield up


async def failure(call: grpc.aio.UnaryUnaryCall[Message, Message]) -> tuple[grpc.StatusCode, list[Message]]:
    """The code and the details of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    packed = dict(raised.value.trailing_metadata()).get("grpc-status-details-bin", b"")
    details: list[Message] = []
    for any_message in status_pb2.Status.FromString(packed).details:  # type: ignore[arg-type]
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if any_message.Unpack(message):
                details.append(message)
    return raised.value.code(), details


async def test_the_caller_is_who_envoy_says(service: Running) -> None:
    stub = rpc.WorldServiceStub(service.channel)
    said = headers(caller="spiffe://worldmesh/gateway", user_id="usr_ann")
    response = await stub.GetRoom(pb.GetRoomRequest(room_id="r"), metadata=said)
    assert response.room.display_name == "gateway/usr_ann"


async def test_a_method_for_clients_needs_a_user(service: Running) -> None:
    stub = rpc.WorldServiceStub(service.channel)
    code, details = await failure(stub.DeleteRoom(pb.DeleteRoomRequest(room_id="r"), metadata=headers()))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert details[0].reason == "TOKEN_MISSING"  # type: ignore[attr-defined]


async def test_a_method_for_clients_needs_the_scope(service: Running) -> None:
    stub = rpc.WorldServiceStub(service.channel)
    said = headers(user_id="usr_ann", scopes="other")
    code, details = await failure(stub.DeleteRoom(pb.DeleteRoomRequest(room_id="r"), metadata=said))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert details[0].metadata == {"scope": "client"}  # type: ignore[attr-defined]
    await stub.DeleteRoom(pb.DeleteRoomRequest(room_id="r"), metadata=headers(user_id="usr_ann"))


async def test_a_message_out_of_its_bounds_names_each_field(service: Running) -> None:
    stub = rpc.WorldServiceStub(service.channel)
    code, details = await failure(stub.GetRoom(pb.GetRoomRequest(room_id="x" * 65), metadata=headers()))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details[0].reason == "INVALID_FIELD"  # type: ignore[attr-defined]
    assert [v.field for v in details[1].field_violations] == ["room_id"]  # type: ignore[attr-defined]


async def test_an_error_of_the_domain_keeps_its_reason_and_says_when_to_retry(service: Running) -> None:
    stub = rpc.WorldServiceStub(service.channel)
    code, details = await failure(stub.GetRoom(pb.GetRoomRequest(room_id="busy"), metadata=headers()))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details[0].reason == "RATE_LIMITED"  # type: ignore[attr-defined]
    assert details[1].retry_delay.seconds == 2  # type: ignore[attr-defined]


async def test_a_defect_tells_the_caller_nothing_but_a_trace_id(service: Running) -> None:
    stub = rpc.WorldServiceStub(service.channel)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetRoom(pb.GetRoomRequest(room_id="broken"), metadata=headers())
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert raised.value.details() == "internal error"
    assert "secret" not in repr(raised.value.trailing_metadata())


async def test_the_contracts_time_bounds_a_call_and_ends_the_handler(service: Running, servicer: Servicer) -> None:
    stub = rpc.WorldServiceStub(service.channel)
    code, details = await failure(stub.GetRoom(pb.GetRoomRequest(room_id="slow"), metadata=headers()))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert details[0].reason == "DEADLINE_EXCEEDED"  # type: ignore[attr-defined]
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


async def test_a_caller_that_goes_away_ends_the_handler(service: Running, servicer: Servicer) -> None:
    call = rpc.WorldServiceStub(service.channel).GetRoom(pb.GetRoomRequest(room_id="slow"), metadata=headers())
    await asyncio.sleep(0.2)
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 5)


async def test_a_method_without_a_handler_is_unimplemented(service: Running) -> None:
    code, _ = await failure(rpc.WorldServiceStub(service.channel).ListRooms(pb.ListRoomsRequest(), metadata=headers()))
    assert code is grpc.StatusCode.UNIMPLEMENTED
