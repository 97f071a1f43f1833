"""Sample values of any message, made from its descriptor alone, so that they change when the contract does.

`empty` has nothing set; `zero` has set to its default whatever knows the difference; `full` has every field set, and
there is one more `full` for each further member of a oneof; `least` and `most` stand at the edges: smallest and
largest numbers, enum values that are not known, text beyond ASCII.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

F = FieldDescriptor

_INTEGERS = {
    F.TYPE_INT32: (-(2**31), 2**31 - 1),
    F.TYPE_SINT32: (-(2**31), 2**31 - 1),
    F.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    F.TYPE_INT64: (-(2**63), 2**63 - 1),
    F.TYPE_SINT64: (-(2**63), 2**63 - 1),
    F.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    F.TYPE_UINT32: (1, 2**32 - 1),
    F.TYPE_FIXED32: (1, 2**32 - 1),
    F.TYPE_UINT64: (1, 2**64 - 1),
    F.TYPE_FIXED64: (1, 2**64 - 1),
}
# Near the largest; the largest float itself is printed by Python's json_format in a way that it refuses to read.
_LARGEST = {F.TYPE_FLOAT: 1.5 * 2.0**127, F.TYPE_DOUBLE: 1.5 * 2.0**1023}
_TEXT = 'naïve ☃ 𝄞 "quoted" \\ \n\t\x00 \u200b'

# Well-known types, whose JSON is not that of their fields. Microseconds, for that is what Python's datetime has.
_WELL_KNOWN: dict[str, dict[str, dict[str, Any]]] = {
    "google.protobuf.Timestamp": {
        "full": {"seconds": 1795482123, "nanos": 456789000},
        "least": {"seconds": -62135596800, "nanos": 0},
        "most": {"seconds": 253402300799, "nanos": 999999000},
    },
    "google.protobuf.Duration": {
        "full": {"seconds": 1, "nanos": 500000000},
        "least": {"seconds": -315576000000, "nanos": 0},
        "most": {"seconds": 315576000000, "nanos": 0},
    },
    "google.protobuf.FieldMask": {
        "full": {"paths": ["display_name", "settings.max_speed"]},
        "least": {"paths": ["a"]},
        "most": {"paths": ["a1_b2", "c.d.e"]},
    },
}


def samples(pool: DescriptorPool, message: str) -> Iterator[tuple[str, Message]]:
    """All samples of a message, by name."""
    descriptor = pool.FindMessageTypeByName(message)
    yield "empty", GetMessageClass(descriptor)()
    for name in ("zero", "full", "least", "most"):
        yield name, _sample(pool, descriptor, name, {})
    for oneof in descriptor.oneofs:
        for member in oneof.fields[1:]:
            yield f"full {oneof.name}={member.name}", _sample(pool, descriptor, "full", {oneof.full_name: member})


def _sample(pool: DescriptorPool, descriptor: Descriptor, name: str, chosen: dict[str, FieldDescriptor]) -> Message:
    message = GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.Any":
        return _any(pool, message, name)
    if well_known := _WELL_KNOWN.get(descriptor.full_name):
        for part, value in well_known.get(name, {}).items():
            _set(message, part, value)
        return message
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is None or field is chosen.get(oneof.full_name, oneof.fields[0]):
            _fill(pool, message, field, name, chosen)
    return message


def _any(pool: DescriptorPool, message: Any, name: str) -> Message:
    inner = pool.FindMessageTypeByName("worldmesh.common.v1.Position")
    message.Pack(_sample(pool, inner, name, {}), deterministic=True)
    packed: Message = message
    return packed


def _set(message: Message, field: str, value: Any) -> None:
    if isinstance(value, list):
        getattr(message, field).extend(value)
    else:
        setattr(message, field, value)


def _fill(
    pool: DescriptorPool, message: Any, field: FieldDescriptor, name: str, chosen: dict[str, FieldDescriptor]
) -> None:
    if _is_map(field):
        _fill_map(pool, message, field, name)
    elif field.is_repeated:
        values = getattr(message, field.name)
        for _ in range({"zero": 1, "full": 2, "least": 1, "most": 3}[name]):
            if field.message_type:
                values.add().CopyFrom(_sample(pool, field.message_type, name, chosen))
            else:
                values.append(_scalar(field, name))
    elif field.message_type:
        getattr(message, field.name).CopyFrom(_sample(pool, field.message_type, name, chosen))
    elif field.has_presence or name != "zero":
        setattr(message, field.name, _scalar(field, name))


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _fill_map(pool: DescriptorPool, message: Any, field: FieldDescriptor, name: str) -> None:
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[part] for part in ("key", "value"))
    entries = getattr(message, field.name)
    if value.message_type:
        entries[_scalar(key, name)].CopyFrom(_sample(pool, value.message_type, name, {}))
    else:
        entries[_scalar(key, name)] = _scalar(value, name)


def _scalar(field: FieldDescriptor, name: str) -> Any:
    """A value that tells the field, by its name or number, from its neighbours."""
    if name == "zero":
        return _zero(field)
    least = name == "least"
    match field.type:
        case F.TYPE_BOOL:
            return True
        case F.TYPE_STRING:
            return {"full": f"{field.name}-{field.number}", "least": "a"}.get(name, _TEXT)
        case F.TYPE_BYTES:
            return {"full": f"{field.name}-{field.number}".encode(), "least": b"\x00"}.get(name, bytes(range(256)))
        case F.TYPE_ENUM:
            assert field.enum_type is not None
            return {"full": field.enum_type.values[-1].number, "least": -1}.get(name, 2**31 - 1)
        case F.TYPE_FLOAT | F.TYPE_DOUBLE:
            return {"full": field.number + 0.5, "least": -math.inf}.get(name, _LARGEST[field.type])
        case _:
            smallest, largest = _INTEGERS[field.type]
            return 1000 + field.number if name == "full" else smallest if least else largest


def _zero(field: FieldDescriptor) -> Any:
    return {F.TYPE_STRING: "", F.TYPE_BYTES: b"", F.TYPE_BOOL: False}.get(field.type, 0)
