"""World's errors, each made in one place."""

from __future__ import annotations

from grpc import StatusCode
from worldmesh_kit import DomainError, ErrorReason, FieldViolation


def room_not_found() -> DomainError:
    """No such room, or one that the caller may not know of."""
    return DomainError(StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ROOM_NOT_FOUND, "no such room")


def access_denied() -> DomainError:
    """The room's access policy does not admit the caller, who may know that the room is there."""
    return DomainError(
        StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_ROOM_ACCESS_DENIED, "the room does not admit you"
    )


def role_required(role: str) -> DomainError:
    """The caller's role does not allow it."""
    return DomainError(
        StatusCode.PERMISSION_DENIED,
        ErrorReason.ERROR_REASON_ROOM_ROLE_REQUIRED,
        f"that takes the role of {role}",
        {"required_role": role},
    )


def etag_mismatch(etag: str) -> DomainError:
    """Somebody else changed the room meanwhile."""
    return DomainError(
        StatusCode.ABORTED,
        ErrorReason.ERROR_REASON_ETAG_MISMATCH,
        "the room has changed since; read it again",
        {"etag": etag},
    )


def request_id_reused() -> DomainError:
    """The request_id belongs to another request."""
    return DomainError(
        StatusCode.ALREADY_EXISTS,
        ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
        "the request_id was used for another request",
    )


def room_limit(limit: int) -> DomainError:
    """The account owns as many as it may."""
    return DomainError(
        StatusCode.RESOURCE_EXHAUSTED,
        ErrorReason.ERROR_REASON_ROOM_LIMIT_REACHED,
        f"an account owns {limit} rooms at most",
        {"limit": str(limit)},
    )


def invalid_mask(path: str) -> DomainError:
    """The path names nothing that may be changed."""
    return DomainError(
        StatusCode.INVALID_ARGUMENT,
        ErrorReason.ERROR_REASON_INVALID_UPDATE_MASK,
        f"{path!r} names no field that may be changed",
        {"path": path},
    )


def invalid_field(field: str, description: str) -> DomainError:
    """A value that the contract's bounds let through and the rules do not."""
    violation = FieldViolation(field, description)
    return DomainError(
        StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_INVALID_FIELD, str(violation), violations=[violation]
    )
