"""Starting and ending a world: from another directory, by Ctrl-C, over what a killed one has left, on taken ports."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from worldmesh_mesh import strays

from tests.integration.test_mesh_life import eventually
from tests.support.world import ROOT, World, free_base


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of one of each that is not up; tests leave it so."""
    environ = {"WORLDMESH_DATA": str(tmp_path_factory.mktemp("small")), "WORLDMESH_PORT_BASE": str(free_base())}
    world = World(environ | dict.fromkeys(("RELAYS", "GATEWAYS", "PRESENCE"), "1"))
    yield world
    world.command("down")


def left_of(world: World) -> list[int]:
    return strays.processes_of(Path(world.environ["WORLDMESH_DATA"]))


def test_where_says_why_it_knows_nothing_while_the_world_is_not_up(small: World) -> None:
    answer = small.command("where", check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "the world is not up: start it with `make up`" in answer.stderr


def test_a_taken_port_is_named_with_who_wants_it_and_nothing_is_started(small: World) -> None:
    port = int(small.environ["WORLDMESH_PORT_BASE"]) + 500
    with socket.create_server(("127.0.0.1", port)):
        answer = small.command("up", "--detach", check=False)
    assert answer.returncode == 1
    assert f"port {port} is taken, and the mesh listener needs it" in answer.stderr
    assert left_of(small) == []


@contextmanager
def in_the_foreground(world: World, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`make up` from another directory, and what it prints. A terminal's signals go to make and to what make runs."""
    output = folder / "output"
    with output.open("w") as log:
        up = subprocess.Popen(
            # Whoever runs the tests may have SIGHUP ignored, and then so would what they start.
            ["env", "--default-signal=HUP", "make", "-C", str(ROOT), "up"],
            cwd=folder,
            env=os.environ | world.environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield up, output
    finally:
        if up.poll() is None:
            os.killpg(up.pid, signal.SIGTERM)
            up.wait(40)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "the terminal goes away"])
def test_a_signal_ends_a_world_in_the_foreground_and_all_of_it(
    small: World, tmp_path: Path, number: signal.Signals
) -> None:
    with in_the_foreground(small, tmp_path) as (up, output):
        eventually(lambda: "Ctrl-C ends it" in output.read_text(), patience=90)
        assert httpx.get(f"{small.where['rest']}/v1/rooms").status_code == 200
        os.killpg(up.pid, number)
        up.wait(40)
    eventually(lambda: left_of(small) == [])
    assert "Traceback" not in output.read_text()


def test_ctrl_c_while_a_world_starts_ends_what_has_started_and_says_so_in_a_line(small: World, tmp_path: Path) -> None:
    with in_the_foreground(small, tmp_path) as (up, output):
        eventually(lambda: "waiting for" in output.read_text(), patience=90)
        os.killpg(up.pid, signal.SIGINT)
        up.wait(40)
    eventually(lambda: left_of(small) == [])
    said = output.read_text()
    assert "\nending\n" in said
    assert "Traceback" not in said
    assert "The world is up" not in said


def test_a_world_whose_supervisor_was_killed_starts_again_and_keeps_its_data(small: World) -> None:
    small.command("up", "--detach")
    guest = small.guest()
    supervisor = int((Path(small.environ["WORLDMESH_DATA"]) / "supervisor.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: supervisor not in left_of(small))
    left = left_of(small)
    assert left, "what it supervised lives on"
    where = small.command("where", check=False)
    assert where.returncode == 1
    assert "the supervisor is gone" in where.stderr
    known = json.loads(where.stdout)
    assert known["not_ready"] == ["supervisor"]
    assert {"envoy-edge", "gateway-0", "relay-0", "mongod"} <= known["pids"].keys()
    assert set(known["pids"].values()) <= set(left)

    again = small.command("up", "--detach")
    assert re.search(r"ending \d+ processes that an earlier world has left", again.stderr)
    assert not set(left) & set(left_of(small))
    assert httpx.get(f"{small.where['rest']}/v1/identity/self", headers=guest.headers).status_code == 200

    small.command("down")
    assert left_of(small) == []


def test_clean_removes_the_data_folder(small: World) -> None:
    data = Path(small.environ["WORLDMESH_DATA"])
    assert data.exists()
    small.command("clean")
    assert not data.exists()


def up_with(small: World, setting: str, value: object) -> subprocess.CompletedProcess[str]:
    return World(small.environ | {setting: str(value)}).command("up", "--detach", check=False)


def test_a_setting_that_makes_no_sense_is_one_line(small: World) -> None:
    answer = up_with(small, "RELAYS", "many")
    assert (answer.returncode, answer.stderr) == (1, "error: RELAYS=many: choose a number from 1 to 10\n")


def test_an_override_that_no_service_reads_is_one_line(small: World, tmp_path: Path) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text("relay: {WORLDMESH_RELAY_HOLDX: 60s}")
    answer = up_with(small, "WORLDMESH_OVERRIDES", file)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: WORLDMESH_OVERRIDES: relay knows no WORLDMESH_RELAY_HOLDX (is it WORLDM")
    assert answer.stderr.count("\n") == 1


def test_what_ends_again_and_again_is_given_up_with_what_it_says(small: World, tmp_path: Path) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text("relay: {WORLDMESH_RELAY_HOLD: sixty}")
    answer = up_with(small, "WORLDMESH_OVERRIDES", file)
    assert answer.returncode == 1
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("error: relay-0 does not start: it has ended 5 times (it said last: settings: WORLDMESH_REL")
    assert 'invalid duration "sixty"' in last
    assert last.endswith("/log/relay-0.log")
    assert left_of(small) == []
