"""The supervisor's configuration: which processes, with which settings, in which order. A pure function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .envoy.basics import Json
from .envoy.edge import PROXY as EDGE_PROXY
from .envoy.mesh import PROXY as MESH_PROXY
from .paths import DESCRIPTORS, PYTHON
from .topology import EDGE, EDGE_ADMIN, EDGE_PLAIN, HOST, MESH, MESH_ADMIN, MONGO, REDIS, Instance, Topology

MARK = "WORLDMESH_WORLD"
"""Every process of a world carries the world's data folder in this variable, so that strays can be told."""

_DRAIN_SECONDS = 5

_LINES_AS_WRITTEN: Json = {
    "disable_json": True,
    "no_metadata": True,
    "no_color": True,
    "fields_order": ["message"],
    "flush_each_line": True,
    "rotation": {"max_size_mb": 64, "max_backups": 1},
}
"""The processes write JSON themselves: the supervisor adds nothing to a line."""


def mongo_uri(topology: Topology) -> str:
    """Of the replica set's only member."""
    return f"mongodb://{HOST}:{topology.port(MONGO)}/?replicaSet=rs0"


@dataclass(frozen=True)
class Programs:
    """Where the programs are that are not ours."""

    mongod: Path
    valkey: Path
    envoy: Path


def processes(topology: Topology, programs: Programs) -> Json:
    """A process-compose configuration."""
    envoy = programs.envoy
    every: dict[str, Json] = {
        "mongod": _mongod(topology, programs.mongod),
        "mongo-init": _mongo_init(topology),
        "valkey": _valkey(topology, programs.valkey),
        MESH_PROXY: _envoy(topology, envoy, "mesh", MESH_ADMIN, {}),
    }
    for instance in topology.instances:
        every[instance.name] = _instance(topology, instance)
    fronts = [i.name for i in topology.instances if i.service.name == "identity"]
    every[EDGE_PROXY] = _envoy(topology, envoy, "edge", EDGE_ADMIN, dict.fromkeys(fronts, "process_healthy"))
    return {
        "version": "0.5",
        "is_strict": True,
        "processes": {name: _common(topology, name, p) for name, p in every.items()},
    }


def _common(topology: Topology, name: str, process: Json) -> Json:
    environment = [f"{MARK}={topology.data}", *_strings(process.pop("environment", []))]
    return {
        "working_dir": str(topology.data),
        "log_location": str(topology.data / f"log/{name}.log"),
        "log_configuration": _LINES_AS_WRITTEN,
        "availability": {"restart": "always", "backoff_seconds": 1},
        "shutdown": _shutdown(str(_DRAIN_SECONDS)),
        **process,
        "environment": environment,
    }


def longest_drain(topology: Topology) -> int:
    """How many seconds the service drains for that does so for longest."""
    return max(_seconds(environment(topology, i)["WORLDMESH_DRAIN_SECONDS"]) for i in topology.instances)


def _seconds(drain: str) -> int:
    try:
        return round(max(0, float(drain)))
    except (ValueError, OverflowError):  # the service itself says what is wrong with it
        return _DRAIN_SECONDS


def _shutdown(drain: str) -> Json:
    """Ends a process that drains for so many seconds, and kills it when it does not end by itself."""
    return {"signal": 15, "timeout_seconds": _seconds(drain) + 5}


def _strings(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else []


def _after(needs: dict[str, str]) -> Json:
    return {"depends_on": {name: {"condition": condition} for name, condition in needs.items()}} if needs else {}


def _ready(port: int, path: str) -> Json:
    return {
        "readiness_probe": {
            "http_get": {"host": HOST, "scheme": "http", "path": path, "port": port},
            "initial_delay_seconds": 0,
            "period_seconds": 1,
            "timeout_seconds": 2,
            "failure_threshold": 60,
        }
    }


def _mongod(topology: Topology, mongod: Path) -> Json:
    data = topology.data / "mongo"
    return {
        "command": (
            f"exec {mongod} --replSet rs0 --bind_ip {HOST} --port {topology.port(MONGO)} --nounixsocket"
            f" --dbpath {data} --wiredTigerCacheSizeGB 0.25 --oplogSize 128 --quiet"
        ),
    }


def _valkey(topology: Topology, valkey: Path) -> Json:
    # Setting its title would overwrite the environment, by which strays are known.
    return {
        "command": (
            f"exec {valkey} --bind {HOST} --port {topology.port(REDIS)} --dir {topology.data / 'redis'}"
            " --appendonly yes --appendfsync everysec --save '' --loglevel notice --set-proc-title no"
        ),
    }


def _mongo_init(topology: Topology) -> Json:
    return {
        "command": f"exec {PYTHON} -m worldmesh_mesh init-mongo --port {topology.port(MONGO)}",
        "availability": {"restart": "on_failure", "backoff_seconds": 1, "max_restarts": 30},
        **_after({"mongod": "process_started"}),
    }


def _envoy(topology: Topology, envoy: Path, name: str, admin: int, needs: dict[str, str]) -> Json:
    return {
        "command": (
            # Which Envoys are each other's successors says a number that is unique on a machine, as a port is.
            f"exec {PYTHON} -m worldmesh_mesh.succession {topology.port(admin)}"
            f" {envoy} --config-path envoy/{name}.json --concurrency 1"
            # The old one asks clients at once to open a new connection, and has them end what is under way on the old.
            f" --drain-strategy immediate --drain-time-s {_DRAIN_SECONDS}"
            f" --parent-shutdown-time-s {_DRAIN_SECONDS + 1}"
            " --file-flush-interval-msec 1000 --log-level warning --log-format '%Y-%m-%dT%H:%M:%S.%e %l %n %v'"
        ),
        **_after(needs),
        **_ready(topology.port(admin), "/ready"),
    }


def _instance(topology: Topology, i: Instance) -> Json:
    needs = {MESH_PROXY: "process_healthy"} if i.service.sockets else {}
    if i.service.mongo:
        needs["mongo-init"] = "process_completed_successfully"
    name = i.service.name
    command = f"{PYTHON} -m worldmesh_{name}" if i.service.language == "python" else str(topology.go_services / name)
    settings = environment(topology, i)
    return {
        "command": f"exec {command}",
        "environment": [f"{key}={value}" for key, value in settings.items()],
        "shutdown": _shutdown(settings["WORLDMESH_DRAIN_SECONDS"]),
        **_after(needs),
        **_ready(i.admin_port, "/readyz"),
    }


def environment(topology: Topology, i: Instance) -> dict[str, str]:
    """The settings of one instance."""
    certs = topology.data / "certs"
    settings = {
        "WORLDMESH_SERVICE": i.service.name,
        "WORLDMESH_INSTANCE": i.name,
        "WORLDMESH_ENVIRONMENT": "development" if topology.development else "production",
        "WORLDMESH_GRPC_ADDR": f"{HOST}:{i.grpc_port}",
        "WORLDMESH_ADMIN_ADDR": f"{HOST}:{i.admin_port}",
        "WORLDMESH_MESH_ADDR": f"{HOST}:{topology.port(MESH)}",
        "WORLDMESH_TLS_DIR": str(certs / i.service.name),
        "WORLDMESH_DESCRIPTOR_SET": str(DESCRIPTORS),
        "WORLDMESH_DRAIN_SECONDS": str(_DRAIN_SECONDS),
    }
    if topology.otlp_endpoint:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = topology.otlp_endpoint
        settings["OTEL_BSP_SCHEDULE_DELAY"] = "500"
    if i.service.mongo:
        settings["WORLDMESH_MONGO_URI"] = mongo_uri(topology)
    if i.service.redis:
        settings["WORLDMESH_REDIS_ADDRS"] = f"{HOST}:{topology.port(REDIS)}"
    if i.service.name == "identity":
        settings["WORLDMESH_IDENTITY_KEY_FILE"] = str(topology.data / "identity.key")
    if i.service.sockets:
        settings |= {
            "WORLDMESH_GATEWAY_WSS_ADDR": f"{HOST}:{i.wss_port}",
            "WORLDMESH_GATEWAY_TLS_CERT": str(certs / "public/tls.pem"),
            "WORLDMESH_GATEWAY_TLS_KEY": str(certs / "public/tls.key"),
            "WORLDMESH_GATEWAY_ORIGINS": ",".join(topology.origins),
        }
        if topology.development:
            settings["WORLDMESH_GATEWAY_WS_ADDR"] = f"{HOST}:{i.ws_port}"
    for name in (i.service.name, i.name):
        settings |= topology.overrides.get(name, {})
    return settings


def where(topology: Topology) -> Json:
    """The addresses that people and scripts rely on."""
    edge, plain = topology.port(EDGE), topology.port(EDGE_PLAIN)
    gateways = topology.of(topology.with_sockets.name)
    return {
        "web": f"http://localhost:{plain}/",
        "web_tls": f"https://localhost:{edge}/",
        "rest": f"http://localhost:{plain}",
        "rest_tls": f"https://localhost:{edge}",
        "grpc": f"localhost:{edge}",
        "wss": f"wss://localhost:{edge}/ws",
        "ws": f"ws://localhost:{plain}/ws",
        "gateways_wss": [f"wss://localhost:{i.wss_port}/ws" for i in gateways],
        "gateways_ws": [f"ws://localhost:{i.ws_port}/ws" for i in gateways],
        "mesh": f"{HOST}:{topology.port(MESH)}",
        "mongo": mongo_uri(topology),
        "redis": f"{HOST}:{topology.port(REDIS)}",
        "admin": {
            "edge": f"http://localhost:{topology.port(EDGE_ADMIN)}/",
            "mesh": f"http://localhost:{topology.port(MESH_ADMIN)}/",
            **{i.name: f"http://localhost:{i.admin_port}/metrics" for i in topology.instances},
        },
        "services": {i.name: f"{HOST}:{i.grpc_port}" for i in topology.instances},
        "ca": str(topology.data / "certs/public-ca.pem"),
        "certs": str(topology.data / "certs"),
        "descriptors": str(DESCRIPTORS),
        "data": str(topology.data),
        "logs": str(topology.data / "log"),
    }
