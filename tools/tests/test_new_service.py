"""`make new-service` gives a service that passes every check at once, tried in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = [
    "buf.yaml",
    "buf.gen.yaml",
    "conftest.py",
    "pyproject.toml",
    "go.mod",
    "go.sum",
    "docs",
    "gen",
    "go_services",
    "mesh",
    "proto",
    "tools",
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what matters; the tools are those of this tree."""
    folder = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / part)
    shutil.copytree(ROOT / "py_services/kit", folder / "py_services/kit")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".build").mkdir()
    (folder / ".build/bin").symlink_to(ROOT / ".build/bin")
    shutil.copytree(ROOT / ".build/proto-deps", folder / ".build/proto-deps")
    # The shared environment's path file must stay as it is: the copy finds its packages by PYTHONPATH.
    (folder / "tools/paths.py").write_text("")
    return folder


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    packages = [tree / "gen/python", tree / "mesh/src", *tree.glob("py_services/*/src")]
    environ = os.environ | {"PYTHONPATH": ":".join(map(str, packages)), "MYPYPATH": ":".join(map(str, packages))}
    return subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, timeout=110)


def test_the_new_service_passes_every_check(tree: Path) -> None:
    made = run(tree, sys.executable, "tools/new_service.py", "quests")
    assert made.returncode == 0, made.stderr
    bin_ = ROOT / ".venv/bin"
    for check in (
        [str(bin_ / "buf"), "lint"],
        [str(bin_ / "buf"), "format", "--diff", "--exit-code", "proto"],
        [str(bin_ / "ruff"), "check", "py_services/quests"],
        [str(bin_ / "ruff"), "format", "--check", "py_services/quests"],
        [str(bin_ / "mypy"), "py_services/quests/src"],
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "py_services/quests/tests"],
        [sys.executable, "-m", "worldmesh_mesh", "render"],
    ):
        done = run(tree, *check)
        assert done.returncode == 0, f"{' '.join(check)}\n{done.stdout}\n{done.stderr}"
    assert "worldmesh.quests.v1.QuestsService/GetQuestsNote" in (tree / "docs/authorization.md").read_text()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("world", "is taken"),
        ("kit", "means something else here"),
        ("class", "is a keyword of Python"),
        *((name, "3 to 20 lower-case letters and digits") for name in ("Quests", "x", "two-words", "")),
    ],
)
def test_a_name_that_can_not_be_is_refused_with_the_reason(tree: Path, name: str, why: str) -> None:
    refused = run(tree, sys.executable, "tools/new_service.py", name)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: NAME={name!r}")
    assert why in refused.stderr
