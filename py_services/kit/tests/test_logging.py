"""What stands in the log, and what must not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CANARY = "canary-5f1e0b7d"


@pytest.fixture(scope="module")
def failed(tls_dir: Path) -> subprocess.CompletedProcess[str]:
    """A service of its own process, for the real configuration is the whole process's, after failures of all kinds."""
    script = Path(__file__).with_name("failing_service.py")
    return subprocess.run(
        [sys.executable, script, tls_dir, CANARY], capture_output=True, text=True, timeout=60, check=True
    )


@pytest.fixture(scope="module")
def failures(failed: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The log lines of calls that failed."""
    lines = [json.loads(line) for line in failed.stdout.splitlines()]
    return [line for line in lines if line["msg"] == "call failed"]


def test_nothing_of_a_request_is_logged_or_traced_when_a_call_fails(failed: subprocess.CompletedProcess[str]) -> None:
    assert CANARY not in failed.stdout
    assert failed.stderr.count('"name": "/worldmesh.identity.v1.IdentityService/SignInPassword"') == 6  # the spans
    assert CANARY not in failed.stderr


def test_a_failure_is_logged_with_its_kind_its_place_and_its_trace(failures: list[dict[str, Any]]) -> None:
    assert [line["exception"][0]["type"] for line in failures] == [
        *("RuntimeError", "ValueError", "RuntimeError", "RuntimeError", "RuntimeError", "ExceptionGroup")
    ]
    for line in failures:
        place = line["exception"][0]["frames"][-1]
        assert place["filename"].endswith(("failing_service.py", "taskgroups.py"))
        assert place["lineno"] > 0
        assert int(line["trace_id"], 16) != 0
        assert line["method"] == "/worldmesh.identity.v1.IdentityService/SignInPassword"


def test_a_failure_is_logged_with_its_causes_and_parts(failures: list[dict[str, Any]]) -> None:
    _, _, _, cause, context, group = (line["exception"] for line in failures)
    assert [(stack["type"], stack["is_cause"]) for stack in cause] == [("RuntimeError", False), ("ValueError", True)]
    assert [(stack["type"], stack["is_cause"]) for stack in context] == [("RuntimeError", False), ("ValueError", False)]
    assert group[0]["exceptions"][0][0]["type"] == "LookupError"
