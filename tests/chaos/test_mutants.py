"""Which bugs there are in the mutants of the services, and what counts as finding one."""

from __future__ import annotations

import json
import sys
from typing import cast

import pytest

from tests.chaos import mutants
from tests.chaos.chaos import Chaos
from tests.chaos.generator import Result
from tests.chaos.mutants import MUTANTS, Mutant, mutated, named, proof
from tests.chaos.rows import ROWS
from tests.chaos.run import NEVER, run_row


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mutants_are_of_the_source_as_it_is_and_are_to_be_found_by_rows_that_there_are(mutant: Mutant) -> None:
    assert mutant.becomes in mutated(mutant)
    assert mutant.rows
    assert set(mutant.rows) <= ROWS.keys()


def test_a_mutant_of_what_is_not_there_any_more_is_named() -> None:
    mutant = Mutant("gone", "relay", "relay/hub.go", "no such text", "", rows=(1,))
    with pytest.raises(ValueError, match=r"gone: 'no such text' is in relay/hub\.go 0 times"):
        mutated(mutant)


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("lost 3", True),
        ("gaps 1", True),
        ("what relays were told of Redis is not linearizable: room_1", True),
        ("rooms lived again after 9000 ms, not 1000", False),
        ("somebody was answered after 5000 ms, not 3000", False),
        ("TimeoutError('the world does not become whole again')", False),
    ],
)
def test_what_a_slow_machine_may_do_is_no_proof_of_a_bug(said: str, counts: bool) -> None:
    assert proof(mutants.WRONG, [f"seed 0: {said}"]) == ([said] if counts else [])


class Unwell:
    """A run in which something of everything goes wrong."""

    def run(self, *_: object) -> Result:
        never = dict.fromkeys((*NEVER, "gaps", "came", "went"), 1)
        return never | {
            "acked": 1,
            "live_p99_ms": 1e6,
            "longest_ms": 1e6,
            "linearizable": False,
            "history_why": "",
            "most_reconnects": 99,
            "by_gateway": [],
            "calm_step_p99_ms": 0.0,
        }


def test_all_that_a_row_says_of_what_people_hear_and_of_the_history_is_proof() -> None:
    said = run_row(cast("Chaos", Unwell()), ROWS[1], range(1))["broken"]
    assert len(proof(mutants.WRONG, said)) == len(mutants.WRONG)
    assert len(proof(mutants.WRONG, said)) < len(said)


def test_mutants_are_asked_for_by_their_names() -> None:
    assert [m.name for m in named(["offline-at-once"])] == ["offline-at-once"]
    assert named([]) == list(MUTANTS)
    with pytest.raises(ValueError, match="no mutant is called nobody; there are append-without-fence, "):
        named(["nobody"])


@pytest.mark.parametrize(
    ("well", "found", "status"), [([], True, 0), ([], False, 1), (["lost 1"], True, 1), (["lost 1"], False, 1)]
)
def test_a_bug_that_is_not_found_fails_and_so_does_one_that_is_found_without_it(
    well: list[str], found: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result: Result = {"found": found, "row": 7, "seed": 0, "by": ["back_once 4"], "seconds": 30}
    monkeypatch.setattr(mutants, "build_programs", lambda: None)
    monkeypatch.setattr(mutants, "unchanged", lambda _: {"7": well})
    monkeypatch.setattr(mutants, "search", lambda _: result)
    monkeypatch.setattr(sys, "argv", ["mutants", "--only", "offline-at-once"])
    assert mutants.main() == status
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == {"unchanged": {"7": well}, "mutants": {"offline-at-once": result}}
