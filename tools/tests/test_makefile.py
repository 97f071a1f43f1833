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


@pytest.mark.parametrize("tool", ["where", "addresses"])
def test_where_exits_1_with_a_reason_while_the_world_is_not_up(tool: str, tmp_path: Path) -> None:
    environ = os.environ | {"WORLDMESH_DATA": str(tmp_path)}
    answer = subprocess.run([ROOT / "tools" / tool], env=environ, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "error: the world is not up: start it with `make up`\n"


def test_make_has_an_exit_status_of_its_own_while_the_world_is_not_up(tmp_path: Path) -> None:
    environ = os.environ | {"WORLDMESH_DATA": str(tmp_path)}
    by_make = subprocess.run(["make", "-C", ROOT, "where"], env=environ, capture_output=True, text=True, check=False)
    assert by_make.returncode == 2, "of make itself: README says so"
    assert "error: the world is not up: start it with `make up`\n" in by_make.stderr


def make(data: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit status of a target, with the world in a folder, and what it says on standard error."""
    environ = os.environ | {"WORLDMESH_DATA": str(data)}
    answer = subprocess.run(["make", "-C", ROOT, *arguments], env=environ, capture_output=True, text=True, check=False)
    return answer.returncode, [line for line in answer.stderr.splitlines() if not line.startswith("make")]


@pytest.mark.parametrize("target", [["server-token", "NAME=somebody"], ["rotate", "WHAT=signing-key"]])
def test_what_needs_a_world_says_in_one_line_that_none_is_up(target: list[str], tmp_path: Path) -> None:
    assert make(tmp_path, *target) == (2, ["error: the world is not up: start it with `make up`"])


def test_rotate_says_what_there_is_to_rotate(tmp_path: Path) -> None:
    wanted = "error: say what: make rotate WHAT=certificates, authorities or signing-key"
    assert make(tmp_path, "rotate") == (2, [wanted])


def test_rotate_says_what_it_did_and_that_nothing_runs(tmp_path: Path) -> None:
    last = "done: the world is not up, and has them from its next start on"
    renewed = f"renewed all certificates in {tmp_path}/certs"
    assert make(tmp_path, "rotate", "WHAT=certificates") == (0, [renewed, last])
    status, said = make(tmp_path, "rotate", "WHAT=authorities")
    assert (status, said[-1]) == (0, last)
    assert [line.partition(":")[0] for line in said[:-1]] == [f"step {n} of 3" for n in (1, 2, 3)]


def run(tool: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / tool), *arguments]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("tool", "names"),
    [
        ("bench/run", ["--only", "--renew"]),
        ("tools/chaos", ["ROWS=", "SEEDS=", "ROOMS=", "MEMBERS=", "PAGE="]),
        ("tools/where", ["usage:"]),
    ],
)
def test_who_asks_for_help_gets_it_and_nothing_is_run(tool: str, names: list[str]) -> None:
    answer = run(tool, "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert [name for name in names if name not in answer.stdout] == []


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["bench/run", "now"], "bench/run: error: unrecognized arguments: now"),
        (["tools/where", "now"], "error: unrecognized arguments: now"),
        (["tools/chaos", "now"], "error: no argument but --help"),
        (["tools/test", "lint"], "error: there are `tools/test unit` and `tools/test all`"),
        (["tools/test"], "error: there are `tools/test unit` and `tools/test all`"),
        (["tools/test", "unit", "world", "relay"], "error: there are `tools/test unit` and `tools/test all`"),
    ],
)
def test_an_argument_that_is_not_known_is_refused(command: list[str], error: str) -> None:
    answer = run(*command)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert error in answer.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("ROWS", "abc", "error: no such rows: abc; there are 1, 2, 3, "),
        ("SEEDS", "x", "error: SEEDS=x: choose a number, at least 1"),
        ("SEEDS", "0", "error: SEEDS=0: choose a number, at least 1"),
        ("ROOMS", "-1", "error: ROOMS=-1: choose a number, at least 1"),
        ("MEMBERS", "many", "error: MEMBERS=many: choose a number, at least 1"),
    ],
)
def test_what_chaos_can_not_run_is_one_line(setting: str, value: str, error: str) -> None:
    answer = run("tools/chaos", **{setting: value})
    assert answer.returncode == 2
    [line] = answer.stderr.splitlines()
    assert line.startswith(error)
