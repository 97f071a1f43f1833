"""Errors with stable reasons, and how they go over the wire (google.rpc.Status, AIP-193)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from pymongo.errors import AutoReconnect, ConnectionFailure, PyMongoError
from worldmesh.common.v1 import errors_pb2
from worldmesh.common.v1.errors_pb2 import ErrorReason

ERROR_DOMAIN = "worldmesh"
RETRY_AFTER = timedelta(milliseconds=500)
DETAILS_KEY = "grpc-status-details-bin"

__all__ = ["DomainError", "ErrorReason", "FieldViolation"]


@dataclass(frozen=True)
class FieldViolation:
    """A field of the request that is out of its bounds."""

    field: str
    """Its path, for example `room.display_name`."""
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


@dataclass
class DomainError(Exception):
    """An error that a caller is told: a stable reason for programs, a message for people, never a secret."""

    code: grpc.StatusCode
    reason: errors_pb2.ErrorReason.ValueType
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[FieldViolation] = ()
    retry_after: timedelta | None = None

    def __str__(self) -> str:
        return f"{reason_name(self.reason)}: {self.message}"


def reason_name(reason: errors_pb2.ErrorReason.ValueType) -> str:
    """The reason as it stands in ErrorInfo: without the enum's prefix."""
    return ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


def unavailable(message: str) -> DomainError:
    """For a part that does not answer right now."""
    return DomainError(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UNAVAILABLE, message, retry_after=RETRY_AFTER
    )


def deadline_exceeded() -> DomainError:
    """For a call that took longer than it may."""
    return DomainError(
        grpc.StatusCode.DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, "the deadline passed"
    )


def internal(trace_id: str) -> DomainError:
    """For a defect of ours: the trace id finds it in the logs."""
    return DomainError(
        grpc.StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL, "internal error", {"trace_id": trace_id}
    )


def domain_error(error: Exception) -> DomainError | None:
    """What a caller may know of an error; None if it is a defect of ours."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, (ConnectionFailure, AutoReconnect)):
        return unavailable("the store does not answer")
    if isinstance(error, PyMongoError) and error.timeout:
        return deadline_exceeded()
    if isinstance(error, NotImplementedError):
        return DomainError(
            grpc.StatusCode.UNIMPLEMENTED, ErrorReason.ERROR_REASON_METHOD_NOT_FOUND, "the method is not served"
        )
    if isinstance(error, TimeoutError):
        return deadline_exceeded()
    return None


def outward(error: Exception) -> status_pb2.Status | None:
    """What a caller is told of an error; None if it is a defect of ours."""
    if isinstance(error, grpc.aio.AioRpcError):
        return _of_another_service(error)
    known = domain_error(error)
    return to_status(known) if known else None


def _of_another_service(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """What the service that was called has said, with its reason, is for the caller too."""
    details = dict(error.trailing_metadata()).get(DETAILS_KEY)
    if isinstance(details, bytes):
        return status_pb2.Status.FromString(details)
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return to_status(unavailable("another service does not answer"))
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return to_status(deadline_exceeded())
    return None


def to_status(error: DomainError) -> status_pb2.Status:
    """The error as google.rpc.Status with ErrorInfo, BadRequest and RetryInfo."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=reason_name(error.reason), domain=ERROR_DOMAIN, metadata=dict(error.metadata)
        )
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
                    for v in error.violations
                ]
            )
        )
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(error.retry_after)
        details.append(retry)
    code: int = error.code.value[0]
    return status_pb2.Status(code=code, message=error.message, details=[_pack(d) for d in details])


def _pack(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
