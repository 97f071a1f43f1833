"""The golden bytes notice a broken contract: each field of each message is renamed, renumbered, retyped, removed, and
made repeated or single, one at a time, and each time some sample must read otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf import descriptor_pb2

from . import golden
from .contracts import descriptor_set, message_names, pool_of

Field = descriptor_pb2.FieldDescriptorProto
Message = descriptor_pb2.DescriptorProto

# What each type could be mistaken for: first by one that the wire tells from it, then by one that it does not.
_MISTAKES = {
    Field.TYPE_STRING: [Field.TYPE_INT32, Field.TYPE_BYTES],
    Field.TYPE_BYTES: [Field.TYPE_INT32, Field.TYPE_STRING],
    Field.TYPE_BOOL: [Field.TYPE_STRING, Field.TYPE_INT32],
    Field.TYPE_INT32: [Field.TYPE_FLOAT, Field.TYPE_SINT32, Field.TYPE_INT64, Field.TYPE_UINT32],
    Field.TYPE_UINT32: [Field.TYPE_FLOAT, Field.TYPE_INT32, Field.TYPE_UINT64],
    Field.TYPE_UINT64: [Field.TYPE_DOUBLE, Field.TYPE_INT64, Field.TYPE_UINT32],
    Field.TYPE_INT64: [Field.TYPE_DOUBLE, Field.TYPE_SINT64, Field.TYPE_INT32],
    Field.TYPE_FLOAT: [Field.TYPE_DOUBLE, Field.TYPE_FIXED32],
    Field.TYPE_DOUBLE: [Field.TYPE_FLOAT, Field.TYPE_FIXED64],
    Field.TYPE_ENUM: [Field.TYPE_STRING, Field.TYPE_INT32],
    Field.TYPE_MESSAGE: [Field.TYPE_STRING, Field.TYPE_BYTES],
}


def _stripped() -> descriptor_pb2.FileDescriptorSet:
    """The descriptor set without comments and options: pools of it are made by the hundred."""
    files = descriptor_pb2.FileDescriptorSet()
    for file in descriptor_set().file:
        copy = files.file.add()
        copy.CopyFrom(file)
        copy.ClearField("source_code_info")
        if file.package.startswith("worldmesh."):
            _strip(copy)
    return files


def _strip(file: descriptor_pb2.FileDescriptorProto) -> None:
    unused = ("buf/", "google/api/", "worldmesh/options/")
    kept = [name for name in file.dependency if not name.startswith(unused)]
    del file.dependency[:]
    file.dependency.extend(kept)
    file.ClearField("service")
    for message in file.message_type:
        _strip_message(message)


def _strip_message(message: Message) -> None:
    for part in (*message.field, *message.oneof_decl):
        part.ClearField("options")
    for nested in message.nested_type:
        _strip_message(nested)


def _find(files: descriptor_pb2.FileDescriptorSet, name: str) -> Message:
    for file in files.file:
        if name.startswith(f"{file.package}."):
            level: list[Message] = list(file.message_type)
            found: Message | None = None
            for part in name.removeprefix(f"{file.package}.").split("."):
                found = next((m for m in level if m.name == part), None)
                level = list(found.nested_type) if found else []
            if found is not None:
                return found
    raise AssertionError(f"no {name}")


def _rename(message: Message, i: int) -> None:
    message.field[i].name += "_x"
    message.field[i].json_name += "X"


def _renumber(message: Message, i: int) -> None:
    message.field[i].number = 1999


def _remove(message: Message, i: int) -> None:
    if message.field[i].HasField("oneof_index"):
        message.field[i].ClearField("oneof_index")  # the oneof must keep a member
    message.field[i].number, message.field[i].name = 1998, "other"


def _change_label(message: Message, i: int) -> None:
    field = message.field[i]
    repeated = field.label == Field.LABEL_REPEATED
    field.ClearField("oneof_index")
    field.label = Field.LABEL_OPTIONAL if repeated else Field.LABEL_REPEATED


def _retype(to: Field.Type.ValueType) -> Callable[[Message, int], None]:
    def mistake(message: Message, i: int) -> None:
        message.field[i].type = to
        message.field[i].ClearField("type_name")

    return mistake


def _mistakes(field: Field) -> list[tuple[str, Callable[[Message, int], None]]]:
    retyped = [(f"as {Field.Type.Name(to)}", _retype(to)) for to in _MISTAKES[field.type]]
    labels = [] if field.HasField("oneof_index") else [("its label changed", _change_label)]
    return [("renamed", _rename), ("renumbered", _renumber), ("removed", _remove), *labels, *retyped]


@pytest.mark.parametrize("name", message_names())
def test_no_change_of_a_field_goes_unnoticed(name: str) -> None:
    of_message = {name: golden.committed()[name]}
    files = _stripped()
    message = _find(files, name)
    original = Message()
    original.CopyFrom(message)
    for i, field in enumerate(original.field):
        for what, mistake in _mistakes(field):
            mistake(message, i)
            _drop_empty_oneofs(message)
            assert golden.read_otherwise(pool_of(files), of_message), f"{field.name} {what}"
            message.CopyFrom(original)


def _drop_empty_oneofs(message: Message) -> None:
    """A oneof that a change left without members is gone; those after it move up."""
    used = sorted({f.oneof_index for f in message.field if f.HasField("oneof_index")})
    kept = [message.oneof_decl[i] for i in used]
    names = [oneof.name for oneof in kept]
    del message.oneof_decl[:]
    for name in names:
        message.oneof_decl.add(name=name)
    for field in message.field:
        if field.HasField("oneof_index"):
            field.oneof_index = used.index(field.oneof_index)


def test_an_unchanged_contract_reads_all_of_them() -> None:
    assert golden.read_otherwise(pool_of(_stripped()), golden.committed()) == []


def test_renewing_refuses_a_broken_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    files = _stripped()
    _rename(_find(files, "worldmesh.world.v1.Room"), 0)
    monkeypatch.setattr(golden, "descriptor_set", lambda: files)
    monkeypatch.setattr(golden, "write", lambda _: pytest.fail("it wrote"))
    assert golden.main([]) == 1


@pytest.mark.parametrize("change", ["renamed", "renumbered", "removed"])
def test_a_changed_enum_value_is_noticed_and_an_added_one_is_none(change: str) -> None:
    now = {name: dict(values) for name, values in golden.committed_enums().items()}
    reasons = now["worldmesh.common.v1.ErrorReason"]
    reasons["ERROR_REASON_NEW"] = 999
    assert golden.changed_enums(now) == []
    number = reasons.pop("ERROR_REASON_ROOM_FULL")
    reasons |= {"renamed": {"ERROR_REASON_FULL": number}, "renumbered": {"ERROR_REASON_ROOM_FULL": 998}}.get(change, {})
    assert golden.changed_enums(now) == [f"worldmesh.common.v1.ErrorReason.ERROR_REASON_ROOM_FULL = {number}"]
