"""Of what a measurement is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .world import ROOT


def revision(root: Path = ROOT, besides: str = "") -> str:
    """The commit in a folder, with a + if the tree has changed since, but for one path of it; `none` outside of a
    repository."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    if not (head := git("rev-parse", "--short=8", "HEAD")):
        return "none"
    changed = git("status", "--porcelain", "--", ":/", *([f":(exclude,top){besides}"] if besides else []))
    return f"{head}{'+' if changed else ''}"
