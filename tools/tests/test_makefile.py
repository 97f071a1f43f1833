"""What the make targets say of themselves is so."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_clean_removes_what_make_build_has_built_and_leaves_the_tools(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    built = ["bin/gateway", "bin/presence", "bin/relay", "bench/load", "screenshots/plaza.png"]
    tools = ["bin/process-compose", "bin/protoc-gen-go", "stamps/go"]
    for name in [*built, *tools]:
        file = tmp_path / ".build" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    subprocess.run(["make", "-f", tmp_path / "Makefile", "clean"], check=True, capture_output=True)
    left = {str(f.relative_to(tmp_path / ".build")) for f in (tmp_path / ".build").rglob("*") if f.is_file()}
    assert left == set(tools)


def test_where_exits_1_with_a_reason_while_the_world_is_not_up(tmp_path: Path) -> None:
    environ = os.environ | {"WORLDMESH_DATA": str(tmp_path)}
    answer = subprocess.run([ROOT / "tools/where"], env=environ, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "error: the world is not up: start it with `make up`\n"
    by_make = subprocess.run(["make", "-C", ROOT, "where"], env=environ, capture_output=True, text=True, check=False)
    assert by_make.returncode == 2, "of make itself: README says so"
    assert answer.stderr in by_make.stderr


@pytest.mark.parametrize("target", [["server-token", "NAME=somebody"], ["rotate", "WHAT=signing-key"]])
def test_what_needs_a_world_says_in_one_line_that_none_is_up(target: list[str], tmp_path: Path) -> None:
    environ = os.environ | {"WORLDMESH_DATA": str(tmp_path)}
    answer = subprocess.run(["make", "-C", ROOT, *target], env=environ, capture_output=True, text=True, check=False)
    said = [line for line in answer.stderr.splitlines() if not line.startswith("make")]
    assert (answer.returncode, said) == (2, ["error: the world is not up: start it with `make up`"])
