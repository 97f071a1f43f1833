"""ProtoJSON of betterproto2's dataclasses.

betterproto2 writes google.protobuf.FieldMask as an object, where ProtoJSON has one string such as
`displayName,settings.width`, and reads no negative google.protobuf.Duration. Importing this module puts that right,
for all messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import betterproto2
from worldmesh_messages.google.protobuf import Duration, FieldMask

M = TypeVar("M", bound=betterproto2.Message)


def encode(message: betterproto2.Message) -> dict[str, Any]:
    """The message as a ProtoJSON object."""
    return message.to_dict()


def decode(kind: type[M], value: Mapping[str, Any]) -> M:
    """A message out of a ProtoJSON object; what is not known is ignored, for servers may be newer."""
    return kind.from_dict(value, ignore_unknown_fields=True)


def _mask_to_json(self: FieldMask, **options: Any) -> str:
    return ",".join(re.sub(r"_([a-z0-9])", lambda m: m[1].upper(), path) for path in self.paths)


def _mask_from_json(value: str, *, ignore_unknown_fields: bool = False) -> FieldMask:
    return FieldMask(paths=[re.sub(r"([A-Z])", r"_\1", path).lower() for path in value.split(",") if path])


def _duration_from_json(value: str, *, ignore_unknown_fields: bool = False) -> Duration:
    parts = re.fullmatch(r"(-?)(\d+)(?:\.(\d{1,9}))?s", value)
    if parts is None:
        raise ValueError(f"{value!r} is no duration")
    sign = -1 if parts[1] else 1
    return Duration(seconds=sign * int(parts[2]), nanos=sign * int((parts[3] or "").ljust(9, "0")))


FieldMask.to_dict = _mask_to_json  # type: ignore[assignment, method-assign]
FieldMask.from_dict = staticmethod(_mask_from_json)  # type: ignore[assignment, method-assign]
Duration.from_dict = staticmethod(_duration_from_json)  # type: ignore[method-assign]
