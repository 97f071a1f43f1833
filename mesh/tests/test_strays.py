"""Processes that a world has left behind are told by their mark, and only they are ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from worldmesh_mesh import strays
from worldmesh_mesh.processes import MARK


def sleeper(data: Path) -> subprocess.Popen[bytes]:
    """A process that carries the mark of `data`'s world, and runs far enough to answer.

    Popen returns once the child's exec has closed its pipe; the kernel gives it its new environment a moment later.
    """
    process = subprocess.Popen(
        ["cat"], env=os.environ | {MARK: str(data)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"up\n")
    assert process.stdout.read(3) == b"up\n"
    return process


def test_only_processes_of_the_worlds_own_folder_are_found_and_ended(tmp_path: Path) -> None:
    ours, others = sleeper(tmp_path / "ours"), sleeper(tmp_path / "others")
    try:
        assert strays.processes_of(tmp_path / "ours") == [ours.pid]
        strays.end([ours.pid])
        assert ours.wait(5) != 0
        assert others.poll() is None
    finally:
        for process in (ours, others):
            process.kill()
            process.communicate()


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"],
        env=os.environ | {MARK: str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    try:
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == b"deaf\n"
        strays.end([deaf.pid], patience=0.3)
        assert deaf.wait(5) == -9
    finally:
        deaf.kill()
        deaf.wait()
        assert deaf.stdout is not None
        deaf.stdout.close()
