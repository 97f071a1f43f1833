"""Rules of ours that buf does not know. Each is a generator of complaints, `what: why`; no complaint means clean.

`buf build proto --as-file-descriptor-set -o - | python -m tests.contract.lint` is how `make lint` asks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Set
from typing import Any

import yaml
from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from worldmesh.options.v1 import options_pb2 as options

from .contracts import ROOT, comments, pool_of

F = FieldDescriptor

READS = ("Get", "List", "BatchGet", "Watch", "Authorize")

IDEMPOTENT_BY_NATURE = {
    "worldmesh.identity.v1.IdentityService.SetUsername": "setting a name twice leaves the same name",
    "worldmesh.identity.v1.IdentityService.RevokeSession": "a revoked session stays revoked",
    "worldmesh.identity.v1.IdentityService.DeleteBot": "a deleted bot stays deleted",
    "worldmesh.world.v1.WorldService.DeleteRoom": "a deleted room stays deleted",
    "worldmesh.world.v1.WorldService.AdvanceEra": "asked after the same era, it moves on once",
    "worldmesh.world.v1.WorldService.SetRoomRole": "setting a role twice leaves the same role",
}
"""Mutations that Envoy may retry without a request_id, and why a repeat has no second effect."""

SERVICES: set[str] = set(yaml.safe_load((ROOT / "mesh/catalogue.yaml").read_text())["services"])
"""Who may stand among a method's callers."""

CODES = {
    *("INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED"),
    *("RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE"),
}

_TYPE_NAMES: dict[int, str] = {
    number: name.removeprefix("TYPE_").lower() for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
}
_LENGTHS = ("max_len", "len", "max_bytes", "len_bytes", "const", "in", "uuid", "tuuid", "ulid")


def lint(files: descriptor_pb2.FileDescriptorSet) -> list[str]:
    """All complaints about these contracts."""
    pool = pool_of(files)
    ours = [file for file in files.file if file.package.startswith("worldmesh.")]
    methods = list(_methods(pool, ours))
    return [
        *(complaint for method in methods for complaint in _method(method)),
        *(complaint for method in methods for complaint in _request(method)),
        *(complaint for file in ours for complaint in _error_reasons(file)),
        *(complaint for name in IDEMPOTENT_BY_NATURE for complaint in _listed(name, methods)),
    ]


def _methods(
    pool: descriptor_pool.DescriptorPool, files: list[descriptor_pb2.FileDescriptorProto]
) -> Iterator[MethodDescriptor]:
    for file in files:
        for service in file.service:
            yield from pool.FindServiceByName(f"{file.package}.{service.name}").methods


def policy_of(method: MethodDescriptor) -> options.MethodPolicy:
    """The policy of a method; an empty one if it has none."""
    policy: options.MethodPolicy = method.GetOptions().Extensions[options.policy]
    return policy


# ---------------------------------------------------------------------------------------------- methods


def _method(method: MethodDescriptor) -> Iterator[str]:
    policy, name = policy_of(method), method.full_name
    if policy.exposure == options.EXPOSURE_UNSPECIFIED:
        yield f"{name}: no policy, or one without exposure"
        return
    if policy.exposure == options.EXPOSURE_INTERNAL and not policy.callers:
        yield f"{name}: INTERNAL without callers, so nobody can call it"
    if policy.exposure in (options.EXPOSURE_CLIENT, options.EXPOSURE_SERVER) and not policy.scopes:
        yield f"{name}: CLIENT or SERVER without scopes"
    if policy.exposure in (options.EXPOSURE_PUBLIC, options.EXPOSURE_INTERNAL) and policy.scopes:
        yield f"{name}: scopes that nobody checks, for it is {options.Exposure.Name(policy.exposure)}"
    for caller in set(policy.callers) - SERVICES:
        yield f"{name}: {caller!r} is no service"
    yield from _delivery(method, policy)
    yield from _rest(method, policy)


def _delivery(method: MethodDescriptor, policy: options.MethodPolicy) -> Iterator[str]:
    name, streams = method.full_name, method.client_streaming or method.server_streaming
    if policy.retry == options.RETRY_CLASS_UNSPECIFIED:
        yield f"{name}: no retry class"
    if not streams and not policy.timeout.ToNanoseconds() > 0:
        yield f"{name}: unary without a timeout"
    if streams and policy.timeout.ToNanoseconds():
        yield f"{name}: a stream with a timeout"
    if streams and policy.retry == options.RETRY_CLASS_SAFE:
        yield f"{name}: a stream that claims to be safe to retry"
    if policy.retry == options.RETRY_CLASS_SAFE and not _repeatable(method):
        yield f"{name}: SAFE, but neither a read, nor with a request_id, nor listed as idempotent by nature"


def _repeatable(method: MethodDescriptor) -> bool:
    by_request_id = "request_id" in method.input_type.fields_by_name
    return method.name.startswith(READS) or by_request_id or method.full_name in IDEMPOTENT_BY_NATURE


def _rest(method: MethodDescriptor, policy: options.MethodPolicy) -> Iterator[str]:
    read = method.name.startswith(READS)
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    if read and policy.exposure == options.EXPOSURE_PUBLIC and not rule.get:
        yield f"{method.full_name}: a public read without a google.api.http GET"
    if rule.get and not read:
        yield f"{method.full_name}: GET on something that is no read"


def _listed(name: str, methods: list[MethodDescriptor]) -> Iterator[str]:
    method = next((m for m in methods if m.full_name == name), None)
    if method is None or policy_of(method).retry != options.RETRY_CLASS_SAFE:
        yield f"{name}: listed as idempotent by nature, but no SAFE method"


# ---------------------------------------------------------------------------------------------- fields


def _request(method: MethodDescriptor) -> Iterator[str]:
    exposed = (options.EXPOSURE_PUBLIC, options.EXPOSURE_CLIENT, options.EXPOSURE_SERVER)
    if policy_of(method).exposure in exposed:
        yield from _fields(method.input_type, method.full_name, frozenset())


def _fields(message: Descriptor, path: str, seen: Set[str]) -> Iterator[str]:
    if message.full_name in seen:
        return
    for field in message.fields:
        if not _output_only(field):
            rules = field.GetOptions().Extensions[validate_pb2.field]
            yield from _field(field, rules, f"{path} {field.name}", seen | {message.full_name})


def _output_only(field: FieldDescriptor) -> bool:
    """What the server alone fills is exempt: it is ignored in a request, and marked so."""
    return field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _field(field: FieldDescriptor, rules: Any, path: str, seen: Set[str]) -> Iterator[str]:
    if rules.ignore:
        yield f"{path}: its rules are ignored"
    if field.message_type and field.message_type.GetOptions().map_entry:
        if not rules.map.HasField("max_pairs"):
            yield f"{path}: a map without max_pairs"
        for part, part_rules in (("key", rules.map.keys), ("value", rules.map.values)):
            yield from _value(field.message_type.fields_by_name[part], part_rules, f"{path}.{part}", seen)
    elif field.is_repeated:
        if not rules.repeated.HasField("max_items"):
            yield f"{path}: repeated without max_items"
        yield from _value(field, rules.repeated.items, f"{path}[]", seen)
    else:
        yield from _value(field, rules, path, seen)


def _value(field: FieldDescriptor, rules: Any, path: str, seen: Set[str]) -> Iterator[str]:
    if field.message_type:
        if field.message_type.full_name.startswith("google.protobuf."):
            if not rules.cel and not rules.WhichOneof("type"):
                yield f"{path}: {field.message_type.name} without a bound"
        else:
            yield from _fields(field.message_type, path, seen)
    elif not _bounded(field, rules):
        yield f"{path}: {_TYPE_NAMES[field.type]} without a bound"


def _bounded(field: FieldDescriptor, rules: Any) -> bool:
    of_type = getattr(rules, rules.WhichOneof("type") or "", None)
    if field.type == F.TYPE_BOOL:
        return True
    if of_type is None:
        return False
    given = {part.name for part, _ in of_type.ListFields()}
    match field.type:
        case F.TYPE_STRING | F.TYPE_BYTES:
            return bool(given & set(_LENGTHS)) or _bounded_pattern(of_type.pattern)
        case F.TYPE_ENUM:
            return bool(given & {"defined_only", "const", "in"})
        case F.TYPE_UINT32 | F.TYPE_UINT64 | F.TYPE_FIXED32 | F.TYPE_FIXED64:
            return bool(given & {"lt", "lte", "const", "in"})
        case _:
            both = bool(given & {"lt", "lte"}) and bool(given & {"gt", "gte"})
            return both or bool(given & {"const", "in", "finite"})


def _bounded_pattern(pattern: str) -> bool:
    """Whether a pattern is anchored at both ends and repeats nothing without an end."""
    literal = re.sub(r"\\.|\[[^\]]*\]", "x", pattern)
    anchored = literal.startswith("^") and literal.endswith("$") and "|" not in literal
    return anchored and not re.search(r"[*+]|\{\d*,\}", literal)


# ---------------------------------------------------------------------------------------------- errors


def _error_reasons(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    """Each reason's comment starts with its gRPC code and says something after it."""
    comment = comments(file)
    for i, enum in enumerate(file.enum_type):
        if enum.name == "ErrorReason":
            for j, value in enumerate(enum.value):
                code, _, rest = comment.get((5, i, 2, j), "").partition(". ")
                if value.number and (code not in CODES or not rest.strip()):
                    yield f"{value.name}: its comment does not say code and meaning"


def main() -> int:
    """Says what is wrong with the contracts on standard input."""
    complaints = lint(descriptor_pb2.FileDescriptorSet.FromString(sys.stdin.buffer.read()))
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
