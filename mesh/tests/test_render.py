"""What is rendered: by golden files, by the real Envoy, and by rules that must hold whatever the catalogue says.

`WRITE_GOLDEN=1 pytest mesh/tests` renews the golden files; look at the difference before you commit it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from worldmesh_mesh.catalogue import CatalogueError, load_catalogue
from worldmesh_mesh.certificates import ensure_certificates
from worldmesh_mesh.contract import Exposure, load_methods
from worldmesh_mesh.documents import picture, with_picture
from worldmesh_mesh.envoy.common import endpoints
from worldmesh_mesh.envoy.edge import edge_config
from worldmesh_mesh.envoy.mesh import mesh_config
from worldmesh_mesh.paths import CATALOGUE, DESCRIPTORS
from worldmesh_mesh.processes import processes, where
from worldmesh_mesh.render import envoy_path
from worldmesh_mesh.topology import Topology, TopologyError, make_topology
from worldmesh_mesh.web import web_files

GOLDEN = Path(__file__).parent / "golden"
METHODS = load_methods(DESCRIPTORS)
SERVICES = load_catalogue(CATALOGUE)


def topology(**environ: str) -> Topology:
    return make_topology(SERVICES, base=8000, data=Path("/data"), environ=environ)


def check(name: str, rendered: object) -> None:
    """Compare with the golden file."""
    text = json.dumps(rendered, indent=1, sort_keys=True)
    text = text.replace(str(DESCRIPTORS.parents[1]), "/tree").replace(sys.executable, "/python") + "\n"
    path = GOLDEN / name
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text, "see the head of this file for how to renew it"


def test_mesh_is_as_golden() -> None:
    check("mesh.json", mesh_config(topology(RELAYS="2"), METHODS))


def test_edge_is_as_golden() -> None:
    check("edge.json", edge_config(topology(GATEWAYS="2"), METHODS, {"/": ("/web/index.html", "text/html")}))


def test_processes_are_as_golden() -> None:
    rendered = processes(topology(RELAYS="2"), mongod=Path("/bin/mongod"), envoy=Path("/bin/envoy"))
    check("processes.json", {"processes": rendered, "where": where(topology(RELAYS="2"))})


@pytest.mark.parametrize("otlp", ["", "http://127.0.0.1:4317"], ids=["without traces", "with traces"])
def test_the_real_envoy_accepts_what_is_rendered(tmp_path: Path, otlp: str) -> None:
    world = make_topology(SERVICES, base=8000, data=tmp_path, environ={"OTEL_EXPORTER_OTLP_ENDPOINT": otlp})
    ensure_certificates(tmp_path / "certs", [s.name for s in SERVICES])
    (tmp_path / "envoy/endpoints").mkdir(parents=True)
    for service in SERVICES:
        (tmp_path / f"envoy/endpoints/{service.name}.json").write_text(json.dumps(endpoints(world, service.name)))
    for name, config in (("mesh", mesh_config(world, METHODS)), ("edge", edge_config(world, METHODS, {}))):
        path = tmp_path / f"envoy/{name}.json"
        path.write_text(json.dumps(config))
        done = subprocess.run(
            [envoy_path(), "--mode", "validate", "--config-path", path], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]


def routes(config: dict[str, Any], listener: int = 0) -> list[dict[str, Any]]:
    chain = config["static_resources"]["listeners"][listener]["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    return cast("list[dict[str, Any]]", manager["route_config"]["virtual_hosts"][0]["routes"])


def test_no_internal_method_has_a_route_at_the_edge() -> None:
    edge = edge_config(topology(), METHODS, {})
    paths = {r["match"].get("path") for r in routes(edge)}
    internal = {m.path for m in METHODS if m.exposure is Exposure.INTERNAL}
    assert internal
    assert not paths & internal
    assert {m.path for m in METHODS} - internal <= paths


def test_production_has_no_plain_listener_and_no_reflection_at_the_edge() -> None:
    world = make_topology(SERVICES, base=8000, data=Path("/data"), environ={}, development=False)
    edge = edge_config(world, METHODS, {})
    listeners = [listener["name"] for listener in edge["static_resources"]["listeners"]]  # type: ignore[index]
    assert listeners == ["edge", "jwks"]
    assert "ServerReflection" not in json.dumps(routes(edge))
    assert all(origin.startswith("https://") for origin in world.origins)
    settings = json.dumps(processes(world, mongod=Path("m"), envoy=Path("e")))
    assert "WORLDMESH_GATEWAY_WS_ADDR" not in settings
    assert "WORLDMESH_ENVIRONMENT=production" in settings


def test_no_two_parts_want_one_port() -> None:
    world = topology(RELAYS="10", GATEWAYS="10", PRESENCE="10")
    fixed = 8 + len(world.instances) * 2 + 2 * len(world.of("gateway"))
    assert len(world.ports()) == fixed


@pytest.mark.parametrize("count", ["0", "11", "two", "-1"])
def test_a_count_that_makes_no_sense_is_named(count: str) -> None:
    with pytest.raises(TopologyError, match=f"RELAYS={count}"):
        topology(RELAYS=count)


@pytest.mark.parametrize("text", ["", "services: 3", "services: {a: {language: go}}", "services: {a: [}"])
def test_a_broken_catalogue_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(text)
    with pytest.raises(CatalogueError, match=r"catalogue\.yaml"):
        load_catalogue(path)


def test_web_files_have_their_types_and_no_tests(tmp_path: Path) -> None:
    for name in ("index.html", "main.js", "model.test.js", "notes.txt"):
        (tmp_path / name).write_text("")
    assert {path: kind for path, (_, kind) in web_files(tmp_path).items()} == {
        "/": "text/html; charset=utf-8",
        "/index.html": "text/html; charset=utf-8",
        "/main.js": "text/javascript; charset=utf-8",
    }


def test_a_page_keeps_what_is_around_its_picture() -> None:
    page = "before\n<!-- picture:begin (make gen) -->\nold\n<!-- picture:end -->\nafter\n"
    drawn = with_picture(page, picture(SERVICES, METHODS))
    assert drawn.startswith("before\n")
    assert drawn.endswith("after\n")
    assert "old" not in drawn
    assert with_picture(drawn, picture(SERVICES, METHODS)) == drawn


def test_certificates_stay_and_keys_are_ones_own(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, ["world"])
    first = (tmp_path / "world/tls.pem").read_bytes()
    ensure_certificates(tmp_path, ["world", "relay"])
    assert (tmp_path / "world/tls.pem").read_bytes() == first
    keys = list(tmp_path.rglob("*.key"))
    assert len(keys) == 3 + 2 + 2 + 1
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
