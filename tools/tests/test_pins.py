"""What the targets install is what was locked, to the byte."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_python_packages_are_installed_by_their_hashes_alone() -> None:
    recipes = (ROOT / "Makefile").read_text().splitlines()
    installing = [line.strip() for line in recipes if re.search(r"\bpip (install|sync)\b", line)]
    assert len(installing) == 2
    assert [line for line in installing if "--require-hashes" not in line] == []
