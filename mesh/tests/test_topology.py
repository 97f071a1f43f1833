"""Which processes run, where, and what a wrong setting is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from worldmesh_mesh.catalogue import CatalogueError, load_catalogue
from worldmesh_mesh.overrides import check_overrides, load_overrides
from worldmesh_mesh.paths import BIN, CATALOGUE
from worldmesh_mesh.processes import Programs, environment, longest_drain, processes
from worldmesh_mesh.topology import MAX_INSTANCES, Topology, TopologyError, make_topology
from worldmesh_mesh.web import web_files

SERVICES = load_catalogue(CATALOGUE)


def topology(environ: dict[str, str] | None = None, base: int = 8000, *, development: bool = True) -> Topology:
    return make_topology(SERVICES, base=base, data=Path("/data"), environ=environ or {}, development=development)


def test_every_listener_has_a_port_of_its_own_even_at_the_most_instances() -> None:
    most = topology({s.scale: str(MAX_INSTANCES) for s in SERVICES if s.scale})
    scaled = [s for s in SERVICES if s.scale]
    sockets = [s for s in SERVICES if s.sockets]
    others, listeners = 8, 2 * (len(SERVICES) - len(scaled)) + 2 * MAX_INSTANCES * len(scaled)
    assert len(most.ports()) == others + listeners + 2 * MAX_INSTANCES * len(sockets)


def test_there_is_one_of_each_unless_the_environment_says_more() -> None:
    assert [i.name for i in topology().of("relay")] == ["relay-0"]
    assert [i.name for i in topology({"RELAYS": "2"}).of("relay")] == ["relay-0", "relay-1"]


@pytest.mark.parametrize("value", ["0", "11", "-1", "two"])
def test_a_number_of_instances_that_makes_no_sense_is_named(value: str) -> None:
    with pytest.raises(TopologyError, match=f"RELAYS={value}: choose a number from 1 to 10"):
        topology({"RELAYS": value})


@pytest.mark.parametrize(
    "endpoint",
    ["https://127.0.0.1:4317", "http://127.0.0.1:4317/", "http://127.0.0.1", "127.0.0.1:4317", "http://:4317"],
)
def test_an_address_for_spans_that_envoy_can_not_dial_is_named(endpoint: str) -> None:
    with pytest.raises(TopologyError, match=f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}: write http://host:port"):
        topology({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})


@pytest.mark.parametrize("base", [0, 80, 65000])
def test_a_port_base_that_leaves_no_room_is_named(base: int) -> None:
    with pytest.raises(TopologyError, match=f"WORLDMESH_PORT_BASE={base}"):
        topology(base=base)


def test_production_gives_gateways_no_plain_socket() -> None:
    gateway = topology().of("gateway")[0]
    assert "WORLDMESH_GATEWAY_WS_ADDR" in environment(topology(), gateway)
    production = topology(development=False)
    assert environment(production, gateway)["WORLDMESH_ENVIRONMENT"] == "production"
    assert "WORLDMESH_GATEWAY_WS_ADDR" not in environment(production, gateway)
    assert gateway.ws_port not in production.ports()
    assert not any(origin.startswith("http:") for origin in production.origins)


@pytest.mark.parametrize("text", ["services: {a: {}}", "services: 3", "{", "services: {a: {contracts: [], new: 1}}"])
def test_a_catalogue_that_is_not_as_it_must_be_names_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(text)
    with pytest.raises(CatalogueError, match=str(file)):
        load_catalogue(file)


def test_the_web_world_is_served_without_its_tests_and_unknown_files(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("index.html", "app.js", "app.test.js", "notes.txt", "tests/a.js"):
        (tmp_path / name).write_text("x")
    files = web_files(tmp_path)
    assert files.keys() == {"/", "/index.html", "/app.js"}
    assert files["/"] == (str(tmp_path / "index.html"), "text/html; charset=utf-8")


def test_a_file_gives_services_and_single_instances_settings_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text(
        "relay: {WORLDMESH_RELAY_HOLD: 9s, WORLDMESH_RELAY_LEASE: 6s}\nrelay-1: {WORLDMESH_RELAY_LEASE: 3s}\n"
    )
    scaled = {"RELAYS": "2"}
    world = make_topology(SERVICES, base=8000, data=Path("/data"), environ=scaled, overrides=load_overrides(file))
    leases = [environment(world, i)["WORLDMESH_RELAY_LEASE"] for i in world.of("relay")]
    assert leases == ["6s", "3s"]
    assert "WORLDMESH_RELAY_HOLD" not in environment(world, world.of("gateway")[0])


@pytest.mark.parametrize(("drain", "patience"), [("25", 30), ("0.4", 5), ("-1", 5), ("soon", 10), ("inf", 10)])
def test_who_drains_for_long_is_killed_later(drain: str, patience: int) -> None:
    overrides = {"gateway": {"WORLDMESH_DRAIN_SECONDS": drain}}
    world = make_topology(SERVICES, base=8000, data=Path("/data"), environ={}, overrides=overrides)
    every: Any = processes(world, Programs(Path("/mongod"), Path("/valkey"), Path("/envoy")))["processes"]
    shutdowns = {name: every[name]["shutdown"]["timeout_seconds"] for name in ("gateway-0", "relay-0", "mongod")}
    assert shutdowns == {"gateway-0": patience, "relay-0": 10, "mongod": 10}
    assert longest_drain(world) == max(5, patience - 5)


def test_go_services_are_started_from_the_folder_that_is_asked_for(tmp_path: Path) -> None:
    world = make_topology(SERVICES, base=8000, data=Path("/data"), environ={"WORLDMESH_BIN": str(tmp_path)})
    config = str(processes(world, Programs(Path("/mongod"), Path("/valkey"), Path("/envoy"))))
    assert f"'exec {tmp_path}/relay'" in config
    assert str(BIN) not in config
    with pytest.raises(TopologyError, match="WORLDMESH_BIN=/nowhere: there is no such folder"):
        make_topology(SERVICES, base=8000, data=Path("/data"), environ={"WORLDMESH_BIN": "/nowhere"})


@pytest.mark.parametrize("text", ["relay-7: {A: b}", "[relay]", "relay: 5", "{"])
def test_a_file_of_overrides_that_makes_no_sense_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text(text)
    with pytest.raises(TopologyError, match="WORLDMESH_OVERRIDES"):
        make_topology(SERVICES, base=8000, data=Path("/data"), environ={}, overrides=load_overrides(file))


@pytest.mark.parametrize("value", ["null", "", "on", "true", "[a]", "{a: b}", "2026-11-25"])
def test_an_override_that_yaml_does_not_read_as_it_is_written_is_named(tmp_path: Path, value: str) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text(f"relay: {{WORLDMESH_RELAY_HOLD: {value}}}")
    with pytest.raises(TopologyError, match=r"relay: WORLDMESH_RELAY_HOLD is .*: write a number, or a text"):
        load_overrides(file)


def test_numbers_and_quoted_words_are_overrides(tmp_path: Path) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text('relay: {A: 5, B: 0.5, C: "on", D: 6s}')
    assert load_overrides(file) == {"relay": {"A": "5", "B": "0.5", "C": "on", "D": "6s"}}


def test_a_setting_that_its_service_does_not_know_is_named_with_what_may_be_meant() -> None:
    known = {"relay": {"WORLDMESH_RELAY_HOLD"}, "gateway": {"WORLDMESH_GATEWAY_HEARTBEAT"}}
    check_overrides({"relay": {"WORLDMESH_RELAY_HOLD": "9s", "GOMAXPROCS": "1"}, "gateway-1": {"OTEL_A": "b"}}, known)
    with pytest.raises(TopologyError) as refused:
        check_overrides({"relay-1": {"WORLDMESH_RELAY_HOLDX": "9s"}, "gateway": {"WORLDMESH_RELAY_HOLD": "9s"}}, known)
    assert str(refused.value) == (
        "WORLDMESH_OVERRIDES: relay-1 knows no WORLDMESH_RELAY_HOLDX (is it WORLDMESH_RELAY_HOLD?); "
        "gateway knows no WORLDMESH_RELAY_HOLD: all that there is stands in docs/settings.md"
    )
