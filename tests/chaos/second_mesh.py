"""A second mesh Envoy beside a world, as on another machine: its ways to relays go through the fault proxy."""

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
_PROXY_ADDRESS = "envoy.http11_proxy_transport_socket.proxy_address"


Settings: TypeAlias = dict[str, dict[str, str]]
"""By instance: what it must be told."""


def second_mesh(
    callers: Sequence[str], relays: Sequence[str]
) -> Callable[[int, Path], AbstractContextManager[Settings]]:
    """For a `Setup.beside`: instances that go by the second mesh, and relays to which its ways may be made bad. The
    links to those must be the first of the world's, in the same order."""
    return lambda base, data: _running(base, data, callers, relays)


@contextmanager
def _running(base: int, data: Path, callers: Sequence[str], relays: Sequence[str]) -> Iterator[Settings]:
    """Runs it from when the world's files are there."""
    topology = make_topology(load_catalogue(CATALOGUE), base=base, data=data, environ=SCALE)
    (data / _FOLDER).mkdir()
    (data / _FOLDER / "mesh.json").write_text(json.dumps(_config(topology)))
    (data / _FOLDER / "relay.json").write_text(json.dumps(_relays(topology, relays)))
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


def _config(topology: Topology) -> dict[str, Any]:
    """The mesh's, at other ports; connections to relays may be made through a proxy that is told of by CONNECT, for a
    relay's address is what gateways name it by."""
    config: dict[str, Any] = json.loads(json.dumps(mesh_config(topology, load_methods(DESCRIPTORS))))
    config["admin"]["address"] = address(topology.base + _ADMIN)
    resources = config["static_resources"]
    resources["listeners"][0]["address"] = address(topology.base + _MESH)
    relay = next(c for c in resources["clusters"] if c["name"] == "relay")
    relay["eds_cluster_config"]["eds_config"]["path_config_source"] = {"path": f"{_FOLDER}/relay.json"}
    relay["transport_socket"] = {
        "name": "envoy.transport_sockets.upstream_http_11_connect",
        "typed_config": typed(
            "extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport",
            transport_socket=relay["transport_socket"],
        ),
    }
    return config


def _relays(topology: Topology, by_proxy: Sequence[str]) -> dict[str, Any]:
    """The endpoints of relays; some of them are to be reached by the fault proxy."""
    found: dict[str, Any] = json.loads(json.dumps(endpoints(topology, "relay")))
    names = [i.name for i in topology.of("relay")]
    for n, relay in enumerate(by_proxy):
        proxy = typed("config.core.v3.Address", **address(topology.base + FIRST_PORT + n))
        endpoint = found["resources"][0]["endpoints"][0]["lb_endpoints"][names.index(relay)]
        endpoint["metadata"] = {"typed_filter_metadata": {_PROXY_ADDRESS: proxy}}
    return found
