"""What stands in the log, and what must not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

CANARY = "canary-5f1e0b7d"
# What services say of themselves alike in all languages.
TELEMETRY = json.loads((Path(__file__).parents[3] / "tests/contract/telemetry.json").read_text())

LOGS = """
import logging, sys
from opentelemetry import trace
from worldmesh_kit._logging import configure_logging, get_logger

configure_logging(sys.argv[1], "quests", "quests-0")
span = trace.NonRecordingSpan(trace.SpanContext(1, 2, False))
with trace.use_span(span):
    for log in (get_logger("ours"), logging.getLogger("another's")):
        log.debug("hello"), log.info("hello"), log.warning("hello"), log.error("hello")
    logging.getLogger("another's").critical("hello")
"""


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


@pytest.mark.parametrize("level", TELEMETRY["log_levels"])
def test_log_lines_have_the_fields_and_levels_of_other_languages(level: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOGS, level], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    levels = TELEMETRY["log_levels"]
    ours, anothers = levels[levels.index(level) :], levels[max(levels.index(level), levels.index("info")) :]
    assert [line["level"] for line in lines] == [*ours, *anothers, "error"]
    for line in lines:
        assert set(line) == set(TELEMETRY["log_fields"])


def test_metrics_name_statuses_as_in_other_languages() -> None:
    codes = sorted(grpc.StatusCode, key=lambda code: int(code.value[0]))
    assert [code.name for code in codes] == TELEMETRY["status_codes"]
