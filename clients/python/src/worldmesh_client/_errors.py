"""What can go wrong. Reasons are the names of worldmesh.common.v1.ErrorReason without `ERROR_REASON_`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from . import _frames

# What details are made of; naming it keeps the import that registers it.
_ERROR_INFO = error_details_pb2.ErrorInfo.DESCRIPTOR.full_name
_RETRY_INFO = error_details_pb2.RetryInfo.DESCRIPTOR.full_name


class WorldmeshError(Exception):
    """Everything that this package raises."""


class RequestError(WorldmeshError):
    """The server answered, and the answer is no.

    `reason` is stable and is what to branch on; `message` is for people; `code` is a gRPC status code;
    `retry_after` is in seconds, 0 if trying again does not help; `details` are the google.rpc details as
    ProtoJSON objects, each with its `@type`."""

    def __init__(
        self,
        reason: str,
        message: str = "",
        code: int = 2,
        retry_after: float = 0.0,
        details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason
        self.message = message
        self.code = code
        self.retry_after = retry_after
        self.details = details

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the reason's documentation names beside it, for example `capacity` of ROOM_FULL."""
        metadata: Mapping[str, str] = _detail(self.details, _ERROR_INFO).get("metadata", {})
        return metadata


class ConnectionClosedError(WorldmeshError):
    """The socket is gone, and with it what was under way on it. `code` is the WebSocket close code, `error`
    the error frame that the gateway sent before it, if any."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(f"closed with {code} {text}".rstrip())
        self.code = code
        self.text = text
        self.error: RequestError | None = None


class ProtocolError(WorldmeshError):
    """The server sent what this version cannot read."""


def from_frame(error: _frames.Error) -> RequestError:
    """The exception of an error frame, of either dialect."""
    details = error.details or details_of(error.status)
    return RequestError(error.reason, error.message, error.code, error.retry_after_ms / 1000, details)


def from_status(status: Mapping[str, Any]) -> RequestError:
    """The exception of a google.rpc.Status in JSON, as REST answers it: there names may be snake_case."""
    try:
        message = json_format.ParseDict(dict(status), status_pb2.Status(), ignore_unknown_fields=True)
        details = json_format.MessageToDict(message).get("details", [])
    except (json_format.Error, TypeError):
        details = status.get("details", [])
    return from_details(details, status.get("message", ""), status.get("code", 2))


def from_details(details: Sequence[Mapping[str, Any]], message: str, code: int) -> RequestError:
    """The exception of a google.rpc.Status in parts. Without an ErrorInfo the reason is UNKNOWN."""
    reason = _detail(details, _ERROR_INFO).get("reason", "UNKNOWN")
    delay = str(_detail(details, _RETRY_INFO).get("retryDelay", "0s"))
    return RequestError(reason, message, code, float(delay.removesuffix("s")), details)


def _detail(details: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    return next((d for d in details if str(d.get("@type", "")).endswith(kind)), {})


def details_of(status: bytes) -> list[dict[str, Any]]:
    """The details of a serialized google.rpc.Status as ProtoJSON."""
    if not status:
        return []
    try:
        message = status_pb2.Status.FromString(status)
        details: list[dict[str, Any]] = json_format.MessageToDict(message).get("details", [])
    except Exception as e:
        raise ProtocolError("the error's details do not decode") from e
    return details
