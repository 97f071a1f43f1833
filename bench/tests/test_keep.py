"""A run's figures are kept beside its profiles, and a budget that is not kept is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench import budgets, keep
from tests.support.revision import revision

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_a_run_has_a_folder_of_its_own_and_the_oldest_go(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    keep.folder(runs, "abc", NOON - timedelta(days=1))
    unended = keep.folder(runs, "abc", NOON + timedelta(days=1))
    (runs / "notes.txt").touch()
    made = [keep.folder(runs, "abc", NOON + timedelta(seconds=n)) for n in range(keep.RUNS + 2)]
    assert made[0].name == "2026-11-29T120000-abc"
    for run in made:
        keep.write(run, "a machine", "abc", {}, {})
    assert sorted(runs.iterdir()) == [*made[2:], unended, runs / "notes.txt"]


def test_what_was_measured_is_kept_with_what_measured_it(tmp_path: Path) -> None:
    keep.write(tmp_path, "a machine", "abc+", {"joins": 0.5}, {"joins": 0.75})
    assert json.loads((tmp_path / keep.RESULT).read_text()) == {
        "machine": "a machine",
        "commit": "abc+",
        "over_budget": {"joins": 0.75},
        "figures": {"joins": 0.5},
    }


def test_a_folder_without_a_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision(tmp_path) == "none"


@pytest.mark.parametrize(
    ("results", "over"),
    [
        ({"cpu_20x50x4": 1.4, "joins": 0.75}, {}),
        ({"cpu_20x50x4": 1.41, "joins": 0.8}, {"cpu_20x50x4": 1.4}),
        ({"joins": 0.74}, {"joins": 0.75}),
        ({}, {}),
    ],
)
def test_a_budget_that_is_not_kept_is_told(results: dict[str, float], over: dict[str, float]) -> None:
    assert budgets.over(results) == over
