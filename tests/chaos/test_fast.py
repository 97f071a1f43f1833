"""The faults that people notice most, at a small size and for a short time. All of them, under load: `make chaos`."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.chaos import Chaos, Size, chaotic
from tests.chaos.generator import build
from tests.chaos.rows import ROWS
from tests.chaos.rows.network import SERVERS, TO_MESH, during, one, stalls
from tests.chaos.rows.row import Row, just, stop
from tests.chaos.run import misheard
from tests.support.world import ROOT


def shortly(number: int, seconds: float) -> Row:
    """A row of the table, with less waiting and without what else is watched."""
    return dataclasses.replace(ROWS[number], seconds=seconds, around=())


ROWS_HERE = [
    shortly(1, 2),
    shortly(7, 3),
    shortly(18, 2),
    dataclasses.replace(shortly(17, 5), fault=stop(just("valkey"), 3)),
    dataclasses.replace(shortly(130, 5), fault=during(one(TO_MESH), stalls, 4)),
]


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """A world whose processes reach each other through the fault proxy. Its relays record their rooms: when it has
    ended, whatever has happened to it, each recording must come to the state that its relay had."""
    build()
    folder = tmp_path_factory.mktemp("recordings")
    setup = dataclasses.replace(SERVERS, overrides={"relay": {"WORLDMESH_RELAY_RECORD_DIR": str(folder)}})
    with chaotic(setup, Size(rooms=3, members=6, calm=1, settle=0)) as running:
        yield running
    told = replayed(folder)
    assert "the relay came to the same state" in told  # of those who were killed nobody knows to which they had come


def replayed(folder: Path) -> str:
    """What is said of recordings when they are played again. Fails if one comes to another state."""
    recordings = [str(path) for path in sorted(folder.glob("*.room"))]
    command = ["go", "run", "./go_services/cmd/replay", *recordings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("row", ROWS_HERE, ids=lambda row: f"{row.number}")
def test_under_a_fault_everybody_hears_everything_once_and_sees_everybody(chaos: Chaos, row: Row) -> None:
    result = chaos.run(row, seed=row.number)
    assert result["acked"] > 0
    assert misheard(row, result) == []
    assert result["linearizable"], result.get("history_why")
