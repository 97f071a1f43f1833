"""What must hold of the configurations of the real catalogue and contracts, and the real Envoy takes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.contract import Exposure, Method, Retry, load_methods
from worldmesh_mesh.envoy.edge import edge_config
from worldmesh_mesh.envoy.mesh import mesh_config
from worldmesh_mesh.paths import CATALOGUE, DESCRIPTORS
from worldmesh_mesh.render import envoy_path, render
from worldmesh_mesh.topology import EDGE_PLAIN, Topology, make_topology

SERVICES = load_catalogue(CATALOGUE)
METHODS = load_methods(DESCRIPTORS)
INTERNAL = [m for m in METHODS if m.exposure is Exposure.INTERNAL]
EXPOSED = [m for m in METHODS if m.exposure is not Exposure.INTERNAL]


def topology(data: Path = Path("/data"), *, development: bool = True, otlp: str = "") -> Topology:
    environ = {"RELAYS": "2", "OTEL_EXPORTER_OTLP_ENDPOINT": otlp}
    return make_topology(SERVICES, base=26_000, data=data, environ=environ, development=development)


def edge(*, development: bool = True) -> Any:
    return edge_config(topology(development=development), METHODS, {})


def mesh(methods: tuple[Method, ...] = METHODS) -> Any:
    return mesh_config(topology(), methods)


def managers(config: Any) -> Iterator[Any]:
    for listener in config["static_resources"]["listeners"]:
        yield listener["filter_chains"][0]["filters"][0]["typed_config"]


def routes(config: Any, *, listener: int = 0) -> dict[str, Any]:
    """By exact path."""
    hosts = list(managers(config))[listener]["route_config"]["virtual_hosts"]
    return {r["match"]["path"]: r for r in hosts[0]["routes"] if "path" in r["match"]}


def a_filter(config: Any, name: str) -> Any:
    return next(f["typed_config"] for f in next(managers(config))["http_filters"] if f["name"] == name)


def test_the_edge_has_no_route_to_an_internal_method() -> None:
    assert INTERNAL
    for listener in (0, 1, 2):
        assert not {m.path for m in INTERNAL} & routes(edge(), listener=listener).keys()


def test_the_edge_has_a_token_rule_for_every_method_it_routes() -> None:
    rules = {r["match"]["path"]: r["requires"] for r in a_filter(edge(), "envoy.filters.http.jwt_authn")["rules"]}
    assert rules.keys() == {m.path for m in EXPOSED}
    for method in EXPOSED:
        may_be_missing = "requires_any" in rules[method.path]
        assert may_be_missing == (method.exposure is Exposure.PUBLIC), method.path


def test_each_service_may_call_through_the_mesh_what_its_contracts_name_and_nothing_else() -> None:
    policies = a_filter(mesh(), "envoy.filters.http.rbac")["rules"]["policies"]
    granted = {
        (principal["authenticated"]["principal_name"]["exact"].rpartition("/")[2], path)
        for policy in policies.values()
        for principal in policy["principals"]
        if "authenticated" in principal
        for path in exact_paths(policy)
    }
    assert granted == {(caller, m.path) for m in METHODS for caller in m.callers_in(SERVICES)}


def exact_paths(node: Any) -> Iterator[str]:
    """Every path that a policy names."""
    if isinstance(node, dict):
        if "url_path" in node:
            yield node["url_path"]["path"]["exact"]
        else:
            for value in node.values():
                yield from exact_paths(value)
    elif isinstance(node, list):
        for value in node:
            yield from exact_paths(value)


def test_what_is_retried_follows_from_the_class_in_the_contract() -> None:
    method = next(m for m in METHODS if m.callers_in(SERVICES) and not m.streaming)
    found = {}
    for retry in Retry:
        policy = routes(mesh((replace(method, retry=retry),)))[method.path]["route"].get("retry_policy", {})
        found[retry] = set(policy.get("retry_on", "").split(",")) - {""}
    assert found[Retry.NEVER] == set()
    assert found[Retry.UNSENT] == {"connect-failure", "refused-stream", "reset-before-request"}
    assert found[Retry.SAFE] == {"connect-failure", "refused-stream", "reset", "unavailable"}


def test_a_stream_has_no_time_limit_and_a_call_has_one() -> None:
    for method in METHODS:
        if method.callers_in(SERVICES):
            limit = routes(mesh())[method.path]["route"]["timeout"]
            assert (limit == "0s") == method.streaming, method.path


def test_a_stream_at_the_edge_lasts_as_long_as_a_token_at_most_whatever_its_caller_asks_for() -> None:
    streams = [m for m in EXPOSED if m.streaming]
    assert streams
    for method in streams:
        bound = routes(edge())[method.path]["route"]["max_stream_duration"]
        assert bound == {"max_stream_duration": "300s", "grpc_timeout_header_max": "300s"}, method.path


def test_between_services_streams_have_no_end() -> None:
    for method in METHODS:
        if method.streaming and method.callers_in(SERVICES):
            bound = routes(mesh())[method.path]["route"]["max_stream_duration"]
            assert "max_stream_duration" not in bound, method.path


def test_one_address_gets_less_in_production_than_where_all_come_from_one() -> None:
    for name in ("requests", "signing_in"):
        burst = {}
        for development in (True, False):
            limit = a_filter(edge(development=development), f"envoy.filters.http.local_ratelimit.{name}")
            burst[development] = limit["descriptors"][0]["token_bucket"]["max_tokens"]
        assert burst[False] * 20 < burst[True], name


def test_whatever_changes_something_without_a_token_counts_as_signing_in() -> None:
    limit = a_filter(edge(), "envoy.filters.http.local_ratelimit.signing_in")
    [of_path] = limit["rate_limits"][0]["actions"][1]["header_value_match"]["headers"]
    pattern = of_path["string_match"]["safe_regex"]["regex"]
    counted = {m.name for m in METHODS if re.fullmatch(pattern, m.path)}
    assert counted == {"SignInGuest", "SignUp", "SignInPassword", "SignInBot", "RefreshSession"}


def test_production_has_no_plain_http_and_no_way_for_debuggers_at_the_edge() -> None:
    plain = topology().port(EDGE_PLAIN)
    assert plain in listening(edge())
    assert plain not in listening(edge(development=False))
    assert plain not in topology(development=False).ports()
    assert "ServerReflection" in str(edge()["static_resources"]["listeners"])
    assert "ServerReflection" not in str(edge(development=False)["static_resources"]["listeners"])


def listening(config: Any) -> set[int]:
    return {each["address"]["socket_address"]["port_value"] for each in config["static_resources"]["listeners"]}


def headers_of(route: Any) -> dict[str, str]:
    return {h["header"]["key"]: h["header"]["value"] for h in route["response_headers_to_add"]}


@pytest.mark.parametrize("development", [True, False], ids=["development", "production"])
def test_the_page_may_call_our_own_origins_and_no_others(*, development: bool) -> None:
    config = edge_config(topology(development=development), METHODS, {"/": ("/web/index.html", "text/html")})
    policy = headers_of(routes(config)["/"])["content-security-policy"]
    [allowed] = [part.split()[1:] for part in policy.split("; ") if part.startswith("connect-src ")]
    secure = ["wss://localhost:26443", "wss://127.0.0.1:26443"]
    plain = ["ws://localhost:26080", "ws://127.0.0.1:26080"]
    assert allowed == ["'self'", *secure, *(plain if development else [])]


def test_production_tells_browsers_to_come_by_tls_alone_and_development_does_not() -> None:
    key = "strict-transport-security"
    assert headers_of(next(managers(edge(development=False)))["route_config"])[key] == "max-age=31536000"
    assert key not in str(edge())


def test_what_production_gets_can_be_rendered_and_the_real_envoy_takes_it(tmp_path: Path) -> None:
    """As a person does it."""
    environ = os.environ | {"WORLDMESH_DATA": str(tmp_path), "WORLDMESH_PORT_BASE": "26000"}
    command = [sys.executable, "-m", "worldmesh_mesh", "render", "--production"]
    subprocess.run(command, env=environ, check=True)
    assert topology().port(EDGE_PLAIN) not in listening(json.loads((tmp_path / "envoy/edge.json").read_text()))
    assert "WORLDMESH_ENVIRONMENT=production" in (tmp_path / "processes.json").read_text()
    for name in ("edge", "mesh"):
        done = validate(tmp_path, name)
        assert done.returncode == 0, done.stderr


def validate(data: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [str(envoy_path()), "--mode", "validate", "--config-path", f"envoy/{name}.json", "--log-level", "warning"]
    return subprocess.run(command, cwd=data, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("otlp", ["", "http://127.0.0.1:4317"], ids=["untraced", "traced"])
@pytest.mark.parametrize("development", [True, False], ids=["development", "production"])
def test_the_real_envoy_takes_both_configurations(tmp_path: Path, *, development: bool, otlp: str) -> None:
    render(topology(tmp_path, development=development, otlp=otlp))
    for name in ("edge", "mesh"):
        done = validate(tmp_path, name)
        assert done.returncode == 0, done.stderr
        assert "deprecated" not in done.stderr.lower()


def test_the_real_envoy_refuses_a_configuration_that_names_no_such_cluster(tmp_path: Path) -> None:
    render(topology(tmp_path))
    file = tmp_path / "envoy/mesh.json"
    file.write_text(file.read_text().replace('"cluster": "world"', '"cluster": "elsewhere"'))
    done = validate(tmp_path, "mesh")
    assert done.returncode != 0
    assert "elsewhere" in done.stderr
