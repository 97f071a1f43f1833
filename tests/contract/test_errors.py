"""What the comments of ErrorReason promise is what is sent: the code, the keys of the metadata, the details.

Errors are made in four places, and each is asked in its own way: Python services by calling what makes them, Go by its
source and by the scripts of the gateway's sessions, Envoy by its configuration.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import grpc
import pytest
from google.rpc import code_pb2
from worldmesh_identity.domain import errors as identity_errors
from worldmesh_kit._errors import DomainError, deadline_exceeded, internal, reason_name, unavailable
from worldmesh_mesh.envoy.replies import local_replies
from worldmesh_world.domain import errors as world_errors

from .contracts import ROOT, comments, our_files

CODES = dict(code_pb2.Code.items())


@dataclass(frozen=True)
class Promise:
    """What a reason's comment says."""

    code: str
    metadata: frozenset[str]
    details: frozenset[str]


def promises() -> Mapping[str, Promise]:
    """By the reason, without its prefix."""
    [file] = [f for f in our_files() if f.name.endswith("errors.proto")]
    found = {}
    for i, value in enumerate(file.enum_type[0].value):
        words = " ".join(comments(file)[5, 0, 2, i].split())
        found[value.name.removeprefix("ERROR_REASON_")] = Promise(
            code=words.partition(".")[0],
            metadata=frozenset(re.findall(r"`(\w+)`", _after("Metadata: ", words))),
            details=frozenset(re.findall(r"\b(RetryInfo|BadRequest|QuotaFailure)\b", _after("Details: ", words))),
        )
    return found


def _after(mark: str, words: str) -> str:
    return words.partition(mark)[2].partition(".")[0]


PROMISES = promises()


# ---------------------------------------------------------------------------------------------- Python services


def made(module: ModuleType) -> Iterator[Callable[..., DomainError]]:
    """The functions of a module that make errors."""
    for _, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__ and get_type_hints(function).get("return") is DomainError:
            yield function


SOMETHING: Mapping[type, Any] = {str: "something", int: 1, timedelta: timedelta(seconds=1)}


def example(make: Callable[..., DomainError]) -> DomainError:
    hints = get_type_hints(make)
    return make(**{name: SOMETHING[kind] for name, kind in hints.items() if name != "return"})


@pytest.mark.parametrize(
    "make",
    [*made(identity_errors), *made(world_errors), unavailable, deadline_exceeded, internal],
    ids=lambda make: f"{make.__module__.split('.')[0]}.{make.__name__}",
)
def test_an_error_of_a_python_service_is_what_its_reason_promises(make: Callable[..., DomainError]) -> None:
    error = example(make)
    details = {"RetryInfo"} if error.retry_after else set()
    details |= {"BadRequest"} if error.violations else set()
    said = Promise(error.code.name, frozenset(error.metadata), frozenset(details))
    assert said == PROMISES[reason_name(error.reason)]


# ---------------------------------------------------------------------------------------------- Go services

_PAIR = re.compile(r"codes?\.(?:Code_)?(\w+),\s*commonv1\.ErrorReason_ERROR_REASON_(\w+)")
_STATUS = re.compile(
    r"NewError\(codes\.\w+,\s*commonv1\.ErrorReason_ERROR_REASON_(\w+),((?:[^()]|\([^()]*\))*)\)(\.After)?"
)


def go_sources() -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / "go_services").rglob("*.go")):
        if not path.name.endswith("_test.go"):
            yield path, path.read_text()


def test_codes_in_go_are_those_that_their_reasons_promise() -> None:
    names = {code.lower().replace("_", ""): code for code in CODES}
    found = [
        (path.name, reason, names[code.lower().replace("_", "")])
        for path, text in go_sources()
        for code, reason in _PAIR.findall(text)
    ]
    assert len(found) > 20
    assert [f for f in found if f[2] != PROMISES[f[1]].code] == []


def test_statuses_in_go_say_when_to_try_again_if_their_reasons_promise_it() -> None:
    found = [(path.name, *found) for path, text in go_sources() for found in _STATUS.findall(text)]
    assert len(found) > 15
    wrong = [f for f in found if "RetryInfo" in PROMISES[f[1]].details and not f[2]]
    assert wrong == []


def test_frames_of_a_gateways_session_have_the_codes_that_their_reasons_promise() -> None:
    scripts = sorted((ROOT / "go_services/gateway/session/testdata").glob("*.txt"))
    found = [
        (script.name, reason, int(code))
        for script in scripts
        for reason, code in re.findall(r"\{Reason:(\w+) Message:.*? Code:(\d+) ", script.read_text())
    ]
    assert len({reason for _, reason, _ in found}) > 8
    assert [f for f in found if f[2] != CODES[PROMISES[f[1]].code]] == []


# ---------------------------------------------------------------------------------------------- Envoy


def test_what_envoy_itself_answers_is_what_its_reasons_promise() -> None:
    mappers: Any = local_replies()["mappers"]
    bodies = [m["body_format_override"]["json_format"] for m in mappers if "json_format" in m["body_format_override"]]
    assert len(bodies) > 8
    for body in bodies:
        info, *others = body["details"]
        promise = PROMISES[info["reason"]]
        details = frozenset(other["@type"].rpartition(".")[2] for other in others)
        assert (grpc.StatusCode[promise.code].value[0], promise.details) == (body["code"], details), info["reason"]
