"""Our own rules about contracts: the contracts keep them, and each rule complains when it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from buf.validate import validate_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from worldmesh.options.v1 import options_pb2 as options

from .contracts import descriptor_set
from .lint import lint

Files = descriptor_pb2.FileDescriptorSet
Field = descriptor_pb2.FieldDescriptorProto

WORLD = "worldmesh.world.v1"


def copy() -> Files:
    files = Files()
    files.CopyFrom(descriptor_set())
    return files


def method(files: Files, name: str) -> descriptor_pb2.MethodDescriptorProto:
    return next(m for f in files.file for s in f.service for m in s.method if f"{f.package}.{s.name}.{m.name}" == name)


def message(files: Files, name: str) -> descriptor_pb2.DescriptorProto:
    return next(m for f in files.file for m in f.message_type if f"{f.package}.{m.name}" == name)


def policy(files: Files, name: str) -> options.MethodPolicy:
    found: options.MethodPolicy = method(files, name).options.Extensions[options.policy]
    return found


def test_the_contracts_keep_our_rules() -> None:
    assert lint(descriptor_set()) == []


ROOM = f"{WORLD}.WorldService"
PRESENCE = "worldmesh.presence.v1.PresenceService"


def no_policy(files: Files) -> None:
    method(files, f"{ROOM}.GetRoom").options.ClearExtension(options.policy)


def no_callers(files: Files) -> None:
    del policy(files, f"{ROOM}.AuthorizeEntry").callers[:]


def unknown_caller(files: Files) -> None:
    policy(files, f"{ROOM}.AuthorizeEntry").callers.append("stranger")


def no_scopes(files: Files) -> None:
    del policy(files, f"{ROOM}.CreateRoom").scopes[:]


def idle_scopes(files: Files) -> None:
    policy(files, f"{ROOM}.GetRoom").scopes.append("client")


def no_timeout(files: Files) -> None:
    policy(files, f"{ROOM}.GetRoom").ClearField("timeout")


def no_retry(files: Files) -> None:
    policy(files, f"{ROOM}.GetRoom").ClearField("retry")


def stream_with_timeout(files: Files) -> None:
    policy(files, f"{PRESENCE}.WatchPresence").timeout.seconds = 1


def safe_stream(files: Files) -> None:
    policy(files, f"{PRESENCE}.WatchPresence").retry = options.RETRY_CLASS_SAFE


def unsafe_mutation(files: Files) -> None:
    policy(files, f"{ROOM}.UpdateRoom").retry = options.RETRY_CLASS_SAFE


def stale_list(files: Files) -> None:
    policy(files, f"{ROOM}.DeleteRoom").retry = options.RETRY_CLASS_UNSENT


def public_read_without_route(files: Files) -> None:
    method(files, f"{ROOM}.ListRooms").options.ClearExtension(annotations_pb2.http)


def mutation_by_get(files: Files) -> None:
    method(files, f"{ROOM}.CreateRoom").options.Extensions[annotations_pb2.http].get = "/v1/rooms:create"


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (no_policy, "GetRoom: no policy"),
        (no_callers, "AuthorizeEntry: INTERNAL without callers"),
        (unknown_caller, "AuthorizeEntry: 'stranger' is no service"),
        (no_scopes, "CreateRoom: CLIENT or SERVER without scopes"),
        (idle_scopes, "GetRoom: scopes that nobody checks"),
        (no_timeout, "GetRoom: unary without a timeout"),
        (no_retry, "GetRoom: no retry class"),
        (stream_with_timeout, "WatchPresence: a stream with a timeout"),
        (safe_stream, "WatchPresence: a stream that claims to be safe"),
        (unsafe_mutation, "UpdateRoom: SAFE, but neither"),
        (stale_list, "DeleteRoom: listed as idempotent by nature, but no SAFE method"),
        (public_read_without_route, "ListRooms: a public read without"),
        (mutation_by_get, "CreateRoom: GET on something that is no read"),
    ],
)
def test_a_broken_method_is_complained_of(broken: Callable[[Files], None], complaint: str) -> None:
    files = copy()
    broken(files)
    [only] = lint(files)
    assert complaint in only


REQUEST = f"{WORLD}.GetRoomRequest"


def add(files: Files, name: str, kind: Field.Type.ValueType, rules: validate_pb2.FieldRules, **more: object) -> None:
    field = message(files, REQUEST).field.add(name=name, number=99, type=kind, label=Field.LABEL_OPTIONAL)
    field.json_name = name
    for key, value in more.items():
        setattr(field, key, value)
    field.options.Extensions[validate_pb2.field].CopyFrom(rules)


def rules(text: str) -> validate_pb2.FieldRules:
    from google.protobuf import text_format

    return text_format.Parse(text, validate_pb2.FieldRules())


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Field.TYPE_STRING, ""),
        (Field.TYPE_STRING, "string {min_len: 1}"),
        (Field.TYPE_STRING, 'string {pattern: "^[a-z]+$"}'),
        (Field.TYPE_STRING, 'string {pattern: "[a-z]{3}"}'),
        (Field.TYPE_STRING, 'string {pattern: "^[a-z]{3,}$"}'),
        (Field.TYPE_STRING, "ignore: IGNORE_ALWAYS string {max_len: 3}"),
        (Field.TYPE_BYTES, "bytes {min_len: 1}"),
        (Field.TYPE_INT32, "int32 {gte: 0}"),
        (Field.TYPE_INT32, "int32 {lte: 9}"),
        (Field.TYPE_UINT64, "uint64 {gt: 0}"),
        (Field.TYPE_FLOAT, "float {gt: 0}"),
    ],
)
def test_a_field_without_a_bound_is_complained_of(kind: Field.Type.ValueType, given: str) -> None:
    files = copy()
    add(files, "extra", kind, rules(given))
    [only] = lint(files)
    assert "GetRoom extra: " in only


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Field.TYPE_STRING, "string {max_len: 9}"),
        (Field.TYPE_STRING, 'string {pattern: "^[a-z][a-z+*]{2,23}$"}'),
        (Field.TYPE_BYTES, "bytes {max_len: 9}"),
        (Field.TYPE_INT32, "int32 {gte: 0, lt: 9}"),
        (Field.TYPE_UINT32, "uint32 {lt: 9}"),
        (Field.TYPE_FLOAT, "float {finite: true}"),
        (Field.TYPE_BOOL, ""),
    ],
)
def test_a_field_with_a_bound_is_not(kind: Field.Type.ValueType, given: str) -> None:
    files = copy()
    add(files, "extra", kind, rules(given))
    assert lint(files) == []


@pytest.mark.parametrize(
    ("given", "complaints"),
    [
        ("repeated {max_items: 3}", ["extra[]: string without a bound"]),
        ("repeated {items {string {max_len: 3}}}", ["extra: repeated without max_items"]),
        ("repeated {max_items: 3, items {string {max_len: 3}}}", []),
    ],
)
def test_a_repeated_field_needs_a_bound_of_its_own_and_of_its_items(given: str, complaints: list[str]) -> None:
    files = copy()
    add(files, "extra", Field.TYPE_STRING, rules(given), label=Field.LABEL_REPEATED)
    found = lint(files)
    assert [c.split(" ", 1)[1] for c in found] == complaints


def test_a_time_that_a_client_fills_needs_a_bound() -> None:
    files = copy()
    add(files, "extra", Field.TYPE_MESSAGE, rules(""), type_name=".google.protobuf.Timestamp")
    assert lint(files) == [f"{ROOM}.GetRoom extra: Timestamp without a bound"]


def test_bounds_are_asked_for_inside_of_messages_too() -> None:
    files = copy()
    settings = message(files, f"{WORLD}.RoomSettings")
    next(f for f in settings.field if f.name == "width").options.ClearExtension(validate_pb2.field)
    assert lint(files) == [
        f"{ROOM}.{name} room settings width: float without a bound" for name in ("CreateRoom", "UpdateRoom")
    ]


def test_an_error_reason_without_its_code_is_complained_of() -> None:
    files = copy()
    errors = next(f for f in files.file if f.name.endswith("errors.proto"))
    location = next(loc for loc in errors.source_code_info.location if tuple(loc.path) == (5, 0, 2, 1))
    location.leading_comments = " A field is out of its bounds.\n"
    assert lint(files) == ["ERROR_REASON_INVALID_FIELD: its comment does not say code and meaning"]
