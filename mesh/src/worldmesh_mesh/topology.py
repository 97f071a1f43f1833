"""Which processes run on this machine, and at which addresses: catalogue and settings in, plain data out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .catalogue import Service
from .paths import BIN

HOST = "127.0.0.1"

Overrides = Mapping[str, Mapping[str, str]]
"""Environment variables that services (`relay`) or single instances (`relay-0`) are given on top of their own."""

# Offsets from the port base. Services follow at SERVICES: ten instances each, two ports an instance.
MONGO, REDIS, EDGE_PLAIN, JWKS, EDGE, MESH, EDGE_ADMIN, MESH_ADMIN = 27, 79, 80, 81, 443, 500, 901, 902
SERVICES, WSS, WS = 100, 450, 470
MAX_INSTANCES = 10


class TopologyError(Exception):
    """A setting does not make sense."""


@dataclass(frozen=True)
class Instance:
    """One process of a service."""

    service: Service
    number: int
    grpc_port: int
    admin_port: int
    wss_port: int = 0
    ws_port: int = 0

    @property
    def name(self) -> str:
        """For example `relay-0`."""
        return f"{self.service.name}-{self.number}"


@dataclass(frozen=True)
class Bucket:
    """So many requests at once, and so many a second from then on."""

    burst: int
    per_second: int


@dataclass(frozen=True)
class Limits:
    """What the edge takes."""

    everybody: Bucket
    """All requests together, so that a flood does not reach the services."""
    address: Bucket
    """The requests of one address."""
    signing_in: Bucket
    """Calls of one address to what needs no token and changes something: signing in and up, renewing tokens."""
    stream_seconds: int = 300
    """How long a stream may last: as long as an access token lives, so that it does not outlive its own by more."""


_EVERYBODY = Bucket(burst=10_000, per_second=5_000)
PRODUCTION = Limits(_EVERYBODY, address=Bucket(400, 100), signing_in=Bucket(100, 5))
DEVELOPMENT = Limits(_EVERYBODY, address=_EVERYBODY, signing_in=_EVERYBODY)
"""On one machine all come from one address: tests, load and the person before it."""


@dataclass(frozen=True)
class Topology:
    """The whole world on one machine."""

    base: int
    data: Path
    services: tuple[Service, ...]
    instances: tuple[Instance, ...]
    development: bool = True
    otlp_endpoint: str = ""
    limits: Limits = PRODUCTION
    overrides: Overrides = field(default_factory=dict)
    go_services: Path = BIN
    """The folder of the services that are written in Go."""

    def port(self, offset: int) -> int:
        """A port by its offset."""
        return self.base + offset

    def of(self, service: str) -> Sequence[Instance]:
        """The instances of a service."""
        return [i for i in self.instances if i.service.name == service]

    @property
    def with_sockets(self) -> Service:
        """The service that has clients' sockets."""
        return next(s for s in self.services if s.sockets)

    def serving(self, contract: str) -> Service:
        """The service that serves a gRPC service."""
        for service in self.services:
            if contract in service.contracts:
                return service
        raise TopologyError(f"no service in the catalogue serves {contract}")

    @property
    def origins(self) -> tuple[str, ...]:
        """Where browsers may come from."""
        secure = self.port(EDGE)
        origins = [f"https://localhost:{secure}", f"https://127.0.0.1:{secure}"]
        if self.development:
            plain = self.port(EDGE_PLAIN)
            origins += [f"http://localhost:{plain}", f"http://127.0.0.1:{plain}"]
        return tuple(origins)

    def ports(self) -> dict[int, str]:
        """Every port that is listened on, and by whom."""
        taken = {
            self.port(MONGO): "mongod",
            self.port(REDIS): "valkey",
            self.port(EDGE): "the edge (TLS)",
            self.port(MESH): "the mesh listener",
            self.port(JWKS): "the edge's key listener",
            self.port(EDGE_ADMIN): "the edge's admin page",
            self.port(MESH_ADMIN): "the mesh's admin page",
        }
        if self.development:
            taken[self.port(EDGE_PLAIN)] = "the edge (plain HTTP)"
        for i in self.instances:
            taken |= {i.grpc_port: f"{i.name} (gRPC)", i.admin_port: f"{i.name} (admin)"}
            if i.service.sockets:
                taken[i.wss_port] = f"{i.name} (WSS)"
                if self.development:
                    taken[i.ws_port] = f"{i.name} (WS)"
        return taken


def make_topology(
    services: tuple[Service, ...],
    *,
    base: int,
    data: Path,
    environ: Mapping[str, str],
    development: bool = True,
    overrides: Overrides | None = None,
) -> Topology:
    """Lay out the world; `environ` scales services and names the OTLP endpoint."""
    if not 1024 <= base <= 64000:
        raise TopologyError(f"WORLDMESH_PORT_BASE={base}: choose one from 1024 to 64000")
    instances: list[Instance] = []
    for index, service in enumerate(services):
        for number in range(_count(service, environ)):
            port = base + SERVICES + (index * MAX_INSTANCES + number) * 2
            sockets = {"wss_port": base + WSS + number, "ws_port": base + WS + number} if service.sockets else {}
            instances.append(Instance(service, number, port, port + 1, **sockets))
    known = {i.name for i in instances} | {s.name for s in services}
    if unknown := sorted(set(overrides or {}) - known):
        raise TopologyError(
            f"WORLDMESH_OVERRIDES: there is no {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    return Topology(
        base=base,
        data=data,
        services=services,
        instances=tuple(instances),
        development=development,
        otlp_endpoint=_otlp_endpoint(environ),
        limits=DEVELOPMENT if development else PRODUCTION,
        overrides=overrides or {},
        go_services=_go_services(environ),
    )


def _go_services(environ: Mapping[str, str]) -> Path:
    folder = Path(environ.get("WORLDMESH_BIN") or BIN).absolute()
    if not folder.is_dir() and folder != BIN:
        raise TopologyError(f"WORLDMESH_BIN={folder}: there is no such folder")
    return folder


def _otlp_endpoint(environ: Mapping[str, str]) -> str:
    """Envoy dials it by host and port; the services take the same one, so it is checked for all."""
    text = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if text and not re.fullmatch(r"http://[^/:\s]+:\d{1,5}", text):
        raise TopologyError(f"OTEL_EXPORTER_OTLP_ENDPOINT={text}: write http://host:port, without TLS or a path")
    return text


def _count(service: Service, environ: Mapping[str, str]) -> int:
    text = environ.get(service.scale, "") if service.scale else ""
    if not text:
        return service.instances
    if not text.isdigit() or not 1 <= int(text) <= MAX_INSTANCES:
        raise TopologyError(f"{service.scale}={text}: choose a number from 1 to {MAX_INSTANCES}")
    return int(text)
