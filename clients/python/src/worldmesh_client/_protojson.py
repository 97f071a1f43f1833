"""ProtoJSON of betterproto2's dataclasses.

betterproto2 writes google.protobuf.FieldMask as an object, where ProtoJSON has one string:
`displayName,settings.width`. Importing this module puts that right, for masks of all messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import betterproto2
from worldmesh_messages.google.protobuf import FieldMask

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


FieldMask.to_dict = _mask_to_json  # type: ignore[assignment, method-assign]
FieldMask.from_dict = staticmethod(_mask_from_json)  # type: ignore[assignment, method-assign]
