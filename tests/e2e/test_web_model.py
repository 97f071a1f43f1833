"""The web world's parts, by their own tests, on the Node that comes with Playwright."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

TESTS = sorted((Path(__file__).resolve().parents[2] / "clients/web/tests").glob("*.test.mjs"))


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_a_part_keeps_its_promises(file: Path) -> None:
    """Each promise is a sentence in the file."""
    node = str(compute_driver_executable()[0])
    done = subprocess.run(
        [node, "--no-warnings", "--test", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
