"""Every message of ours has golden bytes, and every codec of ours reads and writes them alike. Go's part is
golden_test.go. Samples of a message are checked together, and the failing one is named."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import pytest
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from worldmesh_client import _protojson
from worldmesh_messages.message_pool import default_message_pool

from . import golden
from .contracts import descriptor_set, enums, import_generated, message_names, our_files, pool_of

MESSAGES = message_names()
RENEW = "renew on purpose: make golden"
UNKNOWN_FIELD = bytes.fromhex("fa9c01026869")  # number 2511, two bytes


@pytest.fixture(scope="module")
def generated() -> DescriptorPool:
    """The pool of the generated Python code."""
    import_generated()
    return descriptor_pool.Default()


def upb(pool: DescriptorPool, name: str) -> type[Message]:
    return GetMessageClass(pool.FindMessageTypeByName(name))


@cache
def dataclass_of(name: str) -> Any:
    """The betterproto2 dataclass of a message."""
    for file in our_files():
        importlib.import_module(f"worldmesh_messages.{file.package}")
    return default_message_pool.url_to_type[f"type.googleapis.com/{name}"]


def test_every_message_and_nothing_else_has_golden_bytes() -> None:
    assert sorted(golden.committed()) == sorted(MESSAGES), RENEW


def test_the_files_are_written_as_renewing_writes_them() -> None:
    packages = {file.package for file in our_files()}
    assert {path.stem for path in golden.FOLDER.glob("worldmesh.*.json")} <= packages


@pytest.mark.parametrize("name", MESSAGES)
def test_the_contract_still_gives_the_golden_bytes(name: str) -> None:
    pool = pool_of(descriptor_set())
    assert golden.same_json(golden.expected(pool, [name])[name], golden.committed().get(name)), RENEW


@pytest.mark.parametrize("name", MESSAGES)
def test_upb_reads_and_writes_them(name: str, generated: DescriptorPool) -> None:
    kind = upb(generated, name)
    for sample, value in golden.committed()[name].items():
        data = bytes.fromhex(value["hex"])
        message = kind.FromString(data)
        assert message.SerializeToString(deterministic=True) == data, sample
        assert golden.same_json(golden.to_json(message), value["json"]), sample
        assert json_format.ParseDict(value["json"], kind()) == message, sample


@pytest.mark.parametrize("name", MESSAGES)
def test_dataclasses_read_and_write_them(name: str, generated: DescriptorPool) -> None:
    kind, dataclass = upb(generated, name), dataclass_of(name)
    for sample, value in golden.committed()[name].items():
        data = bytes.fromhex(value["hex"])
        expected = kind.FromString(data)
        message = dataclass.parse(data)
        assert kind.FromString(bytes(message)) == expected, f"{sample}: bytes"
        assert len(bytes(message)) == len(data), f"{sample}: length"
        assert json_format.ParseDict(message.to_dict(), kind()) == expected, f"{sample}: to ProtoJSON"
        from_json = _protojson.decode(dataclass, value["json"])
        assert kind.FromString(bytes(from_json)) == expected, f"{sample}: from ProtoJSON"


@pytest.mark.parametrize("name", MESSAGES)
def test_a_field_of_a_newer_contract_is_kept(name: str, generated: DescriptorPool) -> None:
    data = bytes.fromhex(golden.committed()[name]["full"]["hex"]) + UNKNOWN_FIELD
    assert upb(generated, name).FromString(data).SerializeToString() == data
    assert len(bytes(dataclass_of(name).parse(data))) == len(data)


def test_the_enums_are_those_that_were_committed() -> None:
    assert golden.committed_enums() == enums(), RENEW


@pytest.mark.parametrize("name", enums())
def test_every_codec_has_the_enum_s_values(name: str, generated: DescriptorPool) -> None:
    values = golden.committed_enums()[name]
    assert {v.name: v.number for v in generated.FindEnumTypeByName(name).values} == values
    package, _, short = name.rpartition(".")
    dataclass_enum: Any = getattr(importlib.import_module(f"worldmesh_messages.{package}"), short)
    for value, number in values.items():
        assert dataclass_enum(number).proto_name == value
    assert {member.value for member in dataclass_enum} == set(values.values())


def test_a_sample_cut_short_does_not_read(generated: DescriptorPool) -> None:
    data = bytes.fromhex(golden.committed()["worldmesh.world.v1.Room"]["full"]["hex"])[:-1]
    with pytest.raises(Exception, match=r"(?i)truncated|parsing"):
        upb(generated, "worldmesh.world.v1.Room").FromString(data)
    with pytest.raises((EOFError, ValueError)):
        dataclass_of("worldmesh.world.v1.Room").parse(data)
