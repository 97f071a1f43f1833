"""What Envoy itself answers, with the same stable reasons as services."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from .common import Json, typed

# (a condition in CEL, the gRPC code, the reason, the message); the first that holds is taken.
_NO_TOKEN = code_pb2.UNAUTHENTICATED
_DETAILS = "response.code_details.contains"
_REPLIES: Sequence[tuple[str, int, str, str]] = (
    (f"{_DETAILS}('Jwt_is_expired')", _NO_TOKEN, "TOKEN_EXPIRED", "the access token has expired"),
    (f"{_DETAILS}('Jwt_is_missing')", _NO_TOKEN, "TOKEN_MISSING", "the method needs an access token"),
    (f"{_DETAILS}('jwt_authn')", _NO_TOKEN, "TOKEN_INVALID", "the access token is not valid"),
    ("response.code == 403", code_pb2.PERMISSION_DENIED, "CALLER_NOT_ALLOWED", "the service may not call this method"),
    ("response.code == 429", code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED", "too many requests"),
    ("response.code == 404", code_pb2.UNIMPLEMENTED, "METHOD_NOT_FOUND", "no such method or page"),
    ("response.code == 503", code_pb2.UNAVAILABLE, "UNAVAILABLE", "the service does not answer"),
    ("response.code == 504", code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed"),
)


def local_replies() -> Json:
    """Map Envoy's own answers to google.rpc.Status."""
    return {"mappers": [_mapper(*reply) for reply in _REPLIES]}


def _mapper(condition: str, code: int, reason: str, message: str) -> Json:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="worldmesh"))
    status = status_pb2.Status(code=code, message=message, details=[info])
    details = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
    body: Json = {
        "code": code,
        "message": message,
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason,
                "domain": "worldmesh",
            }
        ],
    }
    mapper: Json = {
        "filter": {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": typed(
                    "extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=condition
                ),
            }
        },
        "headers_to_add": [
            {
                "header": {"key": "grpc-status-details-bin", "value": details},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "body_format_override": {"json_format": body},
    }
    if code == _NO_TOKEN:
        mapper["status_code"] = 401  # Envoy says 403 of a wrong audience
    return mapper
