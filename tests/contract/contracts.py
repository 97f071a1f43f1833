"""The contracts as they are built: gen/descriptors.binpb, walked."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool
from worldmesh.options.v1 import options_pb2

ROOT = Path(__file__).resolve().parents[2]
OURS = "worldmesh."

EXTENSIONS = (annotations_pb2.http, field_behavior_pb2.field_behavior, options_pb2.policy, validate_pb2.field)
"""Options read as such only if their extensions are known when the descriptor set is parsed: so they stand here."""


@cache
def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """All files that the contracts are made of, with their comments."""
    return descriptor_pb2.FileDescriptorSet.FromString((ROOT / "gen/descriptors.binpb").read_bytes())


def pool_of(files: descriptor_pb2.FileDescriptorSet) -> descriptor_pool.DescriptorPool:
    """A pool of its own for these files, apart from the generated code's."""
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


def our_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """Our files, by name."""
    return sorted((f for f in descriptor_set().file if f.package.startswith(OURS)), key=lambda f: f.name)


def message_names() -> list[str]:
    """The full names of all our messages, nested ones included."""
    return [name for file in our_files() for name in _names(file.package, file.message_type)]


def _names(scope: str, messages: Iterable[descriptor_pb2.DescriptorProto]) -> Iterator[str]:
    for message in messages:
        if not message.options.map_entry:
            name = f"{scope}.{message.name}"
            yield name
            yield from _names(name, message.nested_type)


def enums() -> dict[str, dict[str, int]]:
    """The values of all our enums, by the enum's full name."""
    return {
        f"{file.package}.{enum.name}": {value.name: value.number for value in enum.value}
        for file in our_files()
        for enum in file.enum_type
    }


def import_generated() -> None:
    """Imports the generated Python modules of all our files, so that the default pool knows them."""
    for file in our_files():
        importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")


def comments(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """The leading comment of each element of a file, by its path in the FileDescriptorProto."""
    return {tuple(loc.path): loc.leading_comments.strip() for loc in file.source_code_info.location}


@dataclass(frozen=True, slots=True)
class Method:
    """A method and where it stands."""

    service: str
    descriptor: descriptor.MethodDescriptor

    @property
    def name(self) -> str:
        """The full name, `worldmesh.world.v1.WorldService.GetRoom`."""
        return f"{self.service}.{self.descriptor.name}"


def methods() -> list[Method]:
    """All our methods, out of the generated code."""
    import_generated()
    pool = descriptor_pool.Default()
    found = []
    for file in our_files():
        for service in pool.FindFileByName(file.name).services_by_name.values():
            found += [Method(service.full_name, method) for method in service.methods]
    return found
