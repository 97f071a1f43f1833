"""What Envoy itself answers, with the same stable reasons as services."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from .basics import Json, typed
from .common import NOWHERE

# (a condition in CEL, the gRPC code, the reason, the message); the first that holds is taken.
_NO_TOKEN = code_pb2.UNAUTHENTICATED
_MALFORMED = "PAYLOAD_MALFORMED"
_DETAILS = "response.code_details.contains"
_REPLIES: Sequence[tuple[str, int, str, str]] = (
    # What turns away a crowd comes first: conditions cost time, and then there is none.
    (f"{_DETAILS}('overflow')", code_pb2.UNAVAILABLE, "UNAVAILABLE", "the service has as many calls as it can take"),
    ("response.code == 429", code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED", "too many requests"),
    (f"{_DETAILS}('Jwt_is_expired')", _NO_TOKEN, "TOKEN_EXPIRED", "the access token has expired"),
    (f"{_DETAILS}('Jwt_is_missing')", _NO_TOKEN, "TOKEN_MISSING", "the method needs an access token"),
    (f"{_DETAILS}('Jwks_remote_fetch')", code_pb2.UNAVAILABLE, "UNAVAILABLE", "tokens can not be checked just now"),
    (f"{_DETAILS}('jwt_authn')", _NO_TOKEN, "TOKEN_INVALID", "the access token is not valid"),
    (
        f"{_DETAILS}('grpc_json_transcode')",
        code_pb2.INVALID_ARGUMENT,
        _MALFORMED,
        "the request does not fit the method",
    ),
    ("response.code == 403", code_pb2.PERMISSION_DENIED, "CALLER_NOT_ALLOWED", "the service may not call this method"),
    ("response.code == 404", code_pb2.UNIMPLEMENTED, "METHOD_NOT_FOUND", "no such method or page"),
    (f"xds.cluster_name == '{NOWHERE}'", code_pb2.UNIMPLEMENTED, "METHOD_NOT_FOUND", "no such method or page"),
    ("response.code == 503", code_pb2.UNAVAILABLE, "UNAVAILABLE", "the service does not answer"),
    (
        "(response.code == 504 || response.code == 408)",
        code_pb2.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "the deadline passed",
    ),
)
# What may be tried again, and after how many seconds.
_RETRY = {"RATE_LIMITED": 1, "UNAVAILABLE": 1}
# What Envoy itself says of these may be another code: 403 of a wrong audience, 401 of keys that it could not fetch.
_HTTP = {_NO_TOKEN: 401, code_pb2.UNIMPLEMENTED: 404, code_pb2.UNAVAILABLE: 503}
# REST looks like gRPC once it is transcoded, but for the path that it came with.
_IS_GRPC = (
    "request.headers['content-type'].startsWith('application/grpc') && !('x-envoy-original-path' in request.headers)"
)


def local_replies() -> Json:
    """Map Envoy's own answers to google.rpc.Status: as JSON, or as a message and details in gRPC's headers."""
    for_grpc = [_mapper(*reply, grpc=True) for reply in _REPLIES]
    return {"mappers": [*for_grpc, *(_mapper(*reply, grpc=False) for reply in _REPLIES)]}


def _mapper(condition: str, code: int, reason: str, message: str, *, grpc: bool) -> Json:
    mapper: Json = {"filter": _when(f"{_IS_GRPC} && {condition}" if grpc else condition)}
    if status_code := _HTTP.get(code):
        mapper["status_code"] = status_code
    headers, body = (_grpc if grpc else _json)(code, reason, message)
    if seconds := _RETRY.get(reason):
        headers["retry-after"] = str(seconds)
    added = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in headers.items()
    ]
    return mapper | ({"headers_to_add": added} if added else {}) | {"body_format_override": body}


def _when(condition: str) -> Json:
    expression = typed("extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=condition)
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": expression}}


def _grpc(code: int, reason: str, message: str) -> tuple[dict[str, str], Json]:
    """Headers and body. Envoy's own choice of a status knows only HTTP's, which has fewer."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="worldmesh")]
    if seconds := _RETRY.get(reason):
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds)))
    status = status_pb2.Status(code=code, message=message, details=[_packed(each) for each in details])
    encoded = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
    headers = {"grpc-status": str(code), "grpc-status-details-bin": encoded}
    return headers, {"text_format_source": {"inline_string": message}}


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _json(code: int, reason: str, message: str) -> tuple[dict[str, str], Json]:
    """Headers and body."""
    prefix = "type.googleapis.com/google.rpc."
    details: list[Json] = [{"@type": f"{prefix}ErrorInfo", "reason": reason, "domain": "worldmesh"}]
    if seconds := _RETRY.get(reason):
        details.append({"@type": f"{prefix}RetryInfo", "retry_delay": f"{seconds}s"})
    # Which field does not fit helps whoever wrote the request; what is wrong with a token would help a forger.
    words = f"{message}: %LOCAL_REPLY_BODY%" if reason == _MALFORMED else message
    return {}, {"json_format": {"code": code, "message": words, "details": details}}
