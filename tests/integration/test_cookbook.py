"""The commands of docs/grpcurl.md do what the page says, run one after another in one shell, as they stand.

A block ```sh must succeed, ```sh fails must not; each line of the ```text block after it must be in the output.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.world import ROOT, World

PAGE = ROOT / "docs/grpcurl.md"
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SEPARATOR = "=== the end of the block at line"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One block of commands and what it is said to do."""

    line: int
    commands: str
    fails: bool
    expected: tuple[str, ...]


def recipes() -> list[Recipe]:
    """The page's blocks."""
    found: list[Recipe] = []
    text = PAGE.read_text()
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        info, body = match["info"].strip(), match["body"]
        if info in ("sh", "sh fails"):
            found.append(Recipe(line, body, info == "sh fails", ()))
        elif info == "text":
            last = found.pop()
            found.append(Recipe(last.line, last.commands, last.fails, tuple(body.splitlines())))
        else:
            raise AssertionError(f"{PAGE.name}:{line}: a block of {info!r}, which nobody runs")
    return found


@pytest.fixture(scope="module")
def results(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[int, str]]:
    """Exit status and output of each block, by its line."""
    folder = tmp_path_factory.mktemp("cookbook")
    script = ["set -o pipefail"]
    for recipe in recipes():
        block = folder / f"{recipe.line}.sh"
        block.write_text(recipe.commands)
        script += [f"source {block}", f'status=$?; echo; echo "{SEPARATOR} {recipe.line}: $status"']
    main = folder / "main.sh"
    main.write_text("\n".join(script) + "\n")
    return run(main, os.environ | world.environ)


def run(script: Path, environ: dict[str, str]) -> dict[int, tuple[int, str]]:
    """Runs all blocks in one shell, as a person would who goes down the page."""
    command = ["bash", str(script)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    found: dict[int, tuple[int, str]] = {}
    start = 0
    for match in re.finditer(rf"^{SEPARATOR} (\d+): (\d+)$", done.stdout, re.MULTILINE):
        found[int(match[1])] = int(match[2]), done.stdout[start : match.start()]
        start = match.end()
    return found


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: f"line {recipe.line}")
def test_a_recipe_does_what_the_page_says(recipe: Recipe, results: dict[int, tuple[int, str]]) -> None:
    assert recipe.line in results, "the shell did not get this far"
    status, output = results[recipe.line]
    assert (status != 0) == recipe.fails, f"exit {status}:\n{output}"
    words = " ".join(output.split())
    missing = [line for line in recipe.expected if " ".join(line.split()) not in words]
    assert not missing, f"the output lacks {missing}:\n{output}"


def test_the_page_has_recipes_of_every_service() -> None:
    text = "".join(recipe.commands for recipe in recipes())
    for service in ("identity", "world", "presence", "room", "gateway"):
        assert f"worldmesh.{service}.v1." in text
