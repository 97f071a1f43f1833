"""The world as a thing that lives: restarts, addresses, traces."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from worldmesh_mesh import strays
from worldmesh_mesh.supervisor import SOCKET

from tests.support.otlp import Span, SpanReceiver
from tests.support.world import ROOT, World


def eventually(condition: Callable[[], bool], patience: float = 30.0) -> None:
    """Wait for a condition."""
    limit = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.1)


def listeners(pids: list[int]) -> Iterator[tuple[str, int]]:
    """The addresses on which processes listen for TCP, as the kernel says."""
    theirs = {inode for pid in pids for inode in sockets_of(pid)}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == "0A" and inode in theirs:
                words, _, port = local.rpartition(":")
                parts = [bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8)]
                yield str(ip_address(b"".join(parts))), int(port, 16)


def sockets_of(pid: int) -> Iterator[str]:
    """The inodes of a process's sockets."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # it was closed meanwhile
        if target.startswith("socket:["):
            yield target.removeprefix("socket:[").removesuffix("]")


def is_loopback(address: str) -> bool:
    ip = ip_address(address)
    return ip.is_loopback or (isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None and ip.ipv4_mapped.is_loopback)


def test_nothing_of_a_world_listens_beyond_this_machine(world: World) -> None:
    found = list(listeners(strays.processes_of(Path(world.addresses["data"]))))
    expected = [world.addresses[name].rpartition(":")[2] for name in ("grpc", "mesh", "redis")]
    assert {int(port) for port in expected} <= {port for _, port in found}
    assert [each for each in found if not is_loopback(each[0])] == []


def test_nobody_else_may_speak_to_the_supervisor(world: World) -> None:
    """Whoever may can start any program as the person whose world it is."""
    socket = Path(world.addresses["data"]) / SOCKET
    assert socket.is_socket()
    assert socket.stat().st_mode & 0o077 == 0


def test_where_names_what_scripts_rely_on(world: World) -> None:
    addresses = world.where
    assert {"web", "wss", "rest", "grpc", "admin", "ca"} <= addresses.keys()
    assert httpx.get(f"{addresses['rest']}/healthz").text == "ok\n"
    assert "worldmesh_relay_rooms" in httpx.get(addresses["admin"]["relay-0"]).text
    assert "rpc_server_call_duration_seconds" in httpx.get(addresses["admin"]["world-0"]).text


def test_what_a_process_says_stands_in_its_own_log_and_nowhere_else(world: World) -> None:
    logs = {file.name: file.read_text() for file in Path(world.addresses["logs"]).glob("*.log")}
    for name in ("relay-0", "world-0", "mongod"):
        first = logs[f"{name}.log"].splitlines()[0]
        assert [file for file, text in logs.items() if first in text] == [f"{name}.log"]
    assert "process=relay-0" in logs["supervisor.log"]


def test_a_trace_that_a_client_names_is_found_in_the_logs_of_the_edge(world: World) -> None:
    trace = secrets.token_hex(16)
    httpx.get(f"{world.rest}/v1/rooms", headers={"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"})
    log = Path(world.addresses["logs"]) / "envoy-edge.log"
    eventually(lambda: trace in log.read_text())
    line = json.loads(next(each for each in log.read_text().splitlines() if trace in each))
    assert line["path"].endswith("/ListRooms")
    assert line["traceparent"].split("-")[1] == trace


def test_where_tells_the_pid_of_an_instance_that_is_stuck(world: World) -> None:
    """That is what it takes to look at it, or to end it."""
    before = world.where
    assert before["not_ready"] == []
    pid = before["pids"]["identity-0"]
    os.kill(pid, signal.SIGSTOP)
    try:
        stuck = world.command("where", check=False)
        assert stuck.returncode == 1
        assert "the world is not ready: identity-0" in stuck.stderr
        assert json.loads(stuck.stdout) == before | {"not_ready": ["identity-0"]}
        shell = shell_variables(world)
        assert (shell.returncode, shell.stderr) == (1, stuck.stderr)
        assert f"export REST={before['rest']}" in shell.stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: shell_variables(world).returncode == 0)


def shell_variables(world: World) -> subprocess.CompletedProcess[str]:
    """What `tools/addresses` says."""
    environ = os.environ | world.environ
    return subprocess.run([ROOT / "tools/addresses"], env=environ, capture_output=True, text=True, check=False)


def test_starting_a_world_that_is_up_says_so_and_changes_nothing(world: World) -> None:
    before = world.where["pids"]
    assert "up already" in world.command("up", "--detach").stdout
    assert world.where["pids"] == before


@pytest.mark.parametrize(
    ("setting", "value", "other"),
    [
        ("RELAYS", "1", "it has relay-1 too"),
        ("RELAYS", "3", "it has no relay-2"),
        ("WORLDMESH_PORT_BASE", "8000", "not at https://localhost:8443"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "", "its processes were started otherwise"),
    ],
)
def test_a_world_with_other_settings_is_not_taken_for_the_one_that_is_asked_for(
    world: World, setting: str, value: str, other: str
) -> None:
    asked = World(world.environ | {setting: value})
    up = asked.command("up", "--detach", check=False)
    assert (up.returncode, up.stdout) == (1, "")
    assert other in up.stderr
    assert "`make down up`" in up.stderr
    where = asked.command("where")
    assert json.loads(where.stdout) == world.where, "where the world is depends on the world alone"
    assert where.stderr == ""


def test_nothing_is_rendered_over_what_a_world_that_is_up_was_started_with(world: World) -> None:
    before = world.where
    done = World(world.environ | {"RELAYS": "1"}).command("render", "--production", check=False)
    assert done.returncode == 1
    assert "name another folder by WORLDMESH_DATA" in done.stderr
    assert world.where == before


def test_a_shell_without_the_settings_of_a_world_means_the_world_of_its_folder(world: World) -> None:
    """`WORLDMESH_PORT_BASE=18000 make up`, and then `make server-token` without it."""
    shell = World({"WORLDMESH_DATA": world.environ["WORLDMESH_DATA"], "WORLDMESH_MONGO_DATABASE": "another"})
    said = shell.command("run-as", "identity", "--", "env").stdout.splitlines()
    assert f"WORLDMESH_MONGO_URI={world.addresses['mongo']}" in said
    assert [line for line in said if "another" in line or line.startswith("WORLDMESH_WORLD=")] == []
    key = shell.command("run-as", "identity", "--", sys.executable, "-m", "worldmesh_identity", "rotate-signing-key")
    assert "signs from" in key.stdout


def test_a_process_that_is_killed_comes_back(world: World) -> None:
    pid = world.where["pids"]["world-0"]
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        answer = world.command("where", check=False)
        return answer.returncode == 0 and json.loads(answer.stdout)["pids"].get("world-0", pid) != pid

    eventually(back)
    eventually(lambda: httpx.get(f"{world.rest}/v1/rooms").status_code == 200)


@pytest.mark.parametrize("proxy", ["envoy-mesh", "envoy-edge"])
def test_an_envoy_is_succeeded_without_a_gap(world: World, proxy: str) -> None:
    """Calls through both, on connections of their own, are answered all the time."""
    before = world.where["pids"][proxy]
    with ThreadPoolExecutor(1) as pool:
        succession = pool.submit(world.command, "succeed", proxy)
        answers = []
        while not succession.done():
            answers.append(httpx.get(f"{world.rest}/v1/rooms").status_code)
        succession.result()
    assert set(answers) == {200}
    assert world.where["pids"][proxy] != before
    assert not strays.alive(before)


@pytest.mark.parametrize("proxy", ["envoy-mesh", "envoy-edge"])
def test_an_envoy_whose_configuration_is_broken_succeeds_nobody(world: World, proxy: str) -> None:
    before = world.where["pids"][proxy]
    config = Path(world.where["data"]) / f"envoy/{proxy.removeprefix('envoy-')}.json"
    text = config.read_text()
    try:
        config.write_text(text.replace('"listeners"', '"listenres"', 1))
        refused = world.command("succeed", proxy, check=False)
    finally:
        config.write_text(text)
    assert (refused.returncode, "listenres" in refused.stderr) == (1, True)
    assert world.where["pids"][proxy] == before
    assert httpx.get(f"{world.rest}/v1/rooms").status_code == 200


@pytest.mark.parametrize("proxy", ["envoy-mesh", "envoy-edge"])
def test_an_envoy_that_is_killed_comes_back(world: World, proxy: str) -> None:
    """Also one that has succeeded another."""
    world.command("succeed", proxy)
    pid = world.where["pids"][proxy]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not strays.alive(pid) and world.command("where", check=False).returncode == 0)
    assert world.where["pids"][proxy] != pid


def test_sockets_through_the_edge_find_the_other_gateway_when_one_has_died(world: World) -> None:
    guest, pids = world.guest(), world.where["pids"]
    os.kill(pids["gateway-0"], signal.SIGKILL)
    for _ in range(10):
        with connect(world.addresses["ws"], subprotocols=["worldmesh.v1.json"]) as socket:  # type: ignore[list-item]
            socket.send(json.dumps({"rid": 1, "hello": {"access_token": guest.access_token}}))
            assert "welcome" in json.loads(socket.recv(timeout=5))
    eventually(lambda: world.command("where", check=False).returncode == 0)


def test_the_end_of_a_socket_reaches_its_client_at_once_through_the_edge(world: World) -> None:
    def seconds_to_close() -> float:
        with connect(world.addresses["ws"], subprotocols=["worldmesh.v1.json"]) as socket:  # type: ignore[list-item]
            socket.send("{no frame")
            assert "error" in json.loads(socket.recv(timeout=10))
            start = time.monotonic()
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=10)
            return time.monotonic() - start

    assert min(seconds_to_close() for _ in range(3)) < 0.7, "of a busy machine, too; Envoy's own delay is a second"


def test_one_trace_goes_from_a_frame_through_the_whole_mesh_to_the_database(world: World, spans: SpanReceiver) -> None:
    guest = world.guest()
    with connect(world.addresses["gateways_ws"][0], subprotocols=["worldmesh.v1.json"]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps({"rid": 1, "hello": {"access_token": guest.access_token}}))
        assert "welcome" in json.loads(socket.recv(timeout=5))
        socket.send(json.dumps({"rid": 2, "join": {"room_id": "room_plaza"}}))
        assert "snapshot" in json.loads(socket.recv(timeout=5))

    def whole(trace: list[Span]) -> bool:
        names = {(s.service, s.name) for s in trace}
        services = {service for service, _ in names}
        return (
            ("gateway", "client join") in names
            and ("relay", "room join") in names
            and {"envoy-mesh", "world"} <= services
            and any(service == "world" and "find" in name for service, name in names)
        )

    trace = spans.wait_for_trace(whole)
    by_id = {s.span_id: s for s in trace}
    orphans = [s for s in trace if s.parent_id and s.parent_id not in by_id]
    assert orphans == [], "every span hangs on one of the same trace"
    find = next(s for s in trace if s.service == "world" and "find" in s.name)
    path = []
    span: Span | None = find
    while span is not None:
        path.append(span.service)
        span = by_id.get(span.parent_id)
    assert path[0] == "world"
    assert path[-1] == "gateway"
    assert "envoy-mesh" in path
