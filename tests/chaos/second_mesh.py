"""A second mesh Envoy beside a world, as on another machine: its ways to some service go through the fault proxy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.contract import load_methods
from worldmesh_mesh.envoy.basics import typed
from worldmesh_mesh.envoy.common import address, endpoints
from worldmesh_mesh.envoy.mesh import mesh_config
from worldmesh_mesh.paths import CATALOGUE, DESCRIPTORS
from worldmesh_mesh.render import envoy_path
from worldmesh_mesh.topology import HOST, Topology, make_topology

from tests.chaos.network import FIRST_PORT
from tests.support.world import SCALE

_MESH, _ADMIN = 620, 621
_FOLDER = "second"
_ENDPOINTS = "endpoints.json"
_PROXY_ADDRESS = "envoy.http11_proxy_transport_socket.proxy_address"


Settings: TypeAlias = dict[str, dict[str, str]]
"""By instance: what it must be told."""


def second_mesh(
    callers: Sequence[str], targets: Sequence[str]
) -> Callable[[int, Path], AbstractContextManager[Settings]]:
    """For a `Setup.beside`: instances that go by the second mesh, and those of one service to which its ways may be
    made bad. The links to those must be the first of the world's, in the same order."""
    return lambda base, data: _running(base, data, callers, targets)


@contextmanager
def _running(base: int, data: Path, callers: Sequence[str], targets: Sequence[str]) -> Iterator[Settings]:
    """Runs it from when the world's files are there."""
    topology = make_topology(load_catalogue(CATALOGUE), base=base, data=data, environ=SCALE)
    (data / _FOLDER).mkdir()
    service = targets[0].partition("-")[0]
    (data / _FOLDER / "mesh.json").write_text(json.dumps(_config(topology, service)))
    (data / _FOLDER / _ENDPOINTS).write_text(json.dumps(_endpoints(topology, service, targets)))
    with (data / _FOLDER / "envoy.log").open("wb") as log:
        options = ["--config-path", f"{_FOLDER}/mesh.json", "--disable-hot-restart", "--concurrency", "1"]
        when_there = 'until [ -e where.json ]; do sleep 0.1; done; exec "$@"'
        process = subprocess.Popen(
            ["bash", "-c", when_there, "-", envoy_path(), *options], cwd=data, stdout=log, stderr=log
        )
    try:
        yield {caller: {"WORLDMESH_MESH_ADDR": f"{HOST}:{base + _MESH}"} for caller in callers}
    finally:
        process.terminate()
        process.wait()


def _config(topology: Topology, service: str) -> dict[str, Any]:
    """The mesh's, at other ports; connections to a service may be made through a proxy that is told of by CONNECT, for
    an instance's address is what gateways name it by."""
    config: dict[str, Any] = json.loads(json.dumps(mesh_config(topology, load_methods(DESCRIPTORS))))
    config["admin"]["address"] = address(topology.base + _ADMIN)
    resources = config["static_resources"]
    resources["listeners"][0]["address"] = address(topology.base + _MESH)
    cluster = next(c for c in resources["clusters"] if c["name"] == service)
    cluster["eds_cluster_config"]["eds_config"]["path_config_source"] = {"path": f"{_FOLDER}/{_ENDPOINTS}"}
    cluster["transport_socket"] = {
        "name": "envoy.transport_sockets.upstream_http_11_connect",
        "typed_config": typed(
            "extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport",
            transport_socket=cluster["transport_socket"],
        ),
    }
    return config


def _endpoints(topology: Topology, service: str, by_proxy: Sequence[str]) -> dict[str, Any]:
    """A service's endpoints; some of them are to be reached by the fault proxy."""
    found: dict[str, Any] = json.loads(json.dumps(endpoints(topology, service)))
    names = [i.name for i in topology.of(service)]
    for n, instance in enumerate(by_proxy):
        proxy = typed("config.core.v3.Address", **address(topology.base + FIRST_PORT + n))
        endpoint = found["resources"][0]["endpoints"][0]["lb_endpoints"][names.index(instance)]
        endpoint["metadata"] = {"typed_filter_metadata": {_PROXY_ADDRESS: proxy}}
    return found
