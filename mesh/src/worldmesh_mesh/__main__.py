"""Renders and runs the mesh on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from .catalogue import CatalogueError, load_catalogue
from .certificates import (
    READ_SECONDS,
    adopt_authorities,
    ensure_certificates,
    introduce_authorities,
    retire_authorities,
)
from .contract import load_methods
from .documents import write_documents
from .envoy.basics import Json
from .envoy.edge import PROXY as EDGE_PROXY
from .envoy.mesh import PROXY as MESH_PROXY
from .mongo import init_mongo
from .overrides import check_overrides, load_overrides
from .paths import CATALOGUE, DESCRIPTORS, PYTHON, ROOT
from .render import render
from .settings import known_settings
from .topology import Topology, TopologyError, make_topology
from .world import SUPERVISOR, World, WorldError, announce, attend, end_on_signals, without_settings

_BASE = 8000


def main() -> int:
    """The command line."""
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except (CatalogueError, TopologyError, WorldError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="worldmesh_mesh",
        description=__doc__,
        epilog="Settings: WORLDMESH_PORT_BASE (8000), WORLDMESH_DATA (.data), RELAYS, GATEWAYS, PRESENCE (1), "
        "OTEL_EXPORTER_OTLP_ENDPOINT, WORLDMESH_OVERRIDES (a file of settings for services or single instances), "
        "WORLDMESH_BIN (.build/bin).",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the world and stay until Ctrl-C")
    up.add_argument("--detach", action="store_true", help="return when it is up")
    commands.add_parser("down", help="end the world")
    commands.add_parser("where", help="print the addresses as JSON; exit 1 with a reason while not all is ready")
    commands.add_parser("clean", help="end the world and remove its data")
    rendering = commands.add_parser("render", help="write the configurations into the data folder, start nothing")
    rendering.add_argument(
        "--production", action="store_true", help="as for production, to look at: without conveniences"
    )
    docs = commands.add_parser("docs", help="renew the generated parts of the docs")
    docs.add_argument("--folder", type=Path, default=ROOT / "docs")
    as_service = commands.add_parser("run-as", help="run a command as the running world's first instance of a service")
    as_service.add_argument("service")
    as_service.add_argument("argv", nargs=argparse.REMAINDER, help="-- command and its arguments")
    rotating = commands.add_parser("rotate", help="renew what proves who is who, while the world runs")
    rotating.add_argument("what", choices=["certificates", "authorities", "signing-key"])
    succession = commands.add_parser("succeed", help="replace an Envoy of the running world, without a gap")
    succession.add_argument("proxy", choices=[MESH_PROXY, EDGE_PROXY])
    mongo = commands.add_parser("init-mongo", help="make a mongod a replica set of one")
    mongo.add_argument("--port", type=int, required=True)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "init-mongo":
            init_mongo(arguments.port)
        case "docs":
            write_documents(arguments.folder, ROOT, load_catalogue(CATALOGUE), load_methods(DESCRIPTORS))
        case "render":
            _render(_checked(_topology(development=not arguments.production)))
        case "run-as":
            return _run_as(arguments.service, arguments.argv)
        case "rotate":
            return _rotate(arguments.what)
        case "succeed":
            World(_topology(), _say).succeed(arguments.proxy)
        case "up":
            return _up(detach=arguments.detach)
        case "down":
            _say("the world has ended" if World(_topology(), _say).stop() else "no world was up")
        case "where":
            _where()
        case "clean":
            topology = _topology()
            World(topology, _say).stop()
            shutil.rmtree(topology.data, ignore_errors=True)
    return 0


def _render(topology: Topology) -> None:
    """Not over what a world that runs was started with: by that it is found, and its services' settings known."""
    if World(topology, _say).running():
        raise WorldError(f"a world is up in {topology.data}: name another folder by WORLDMESH_DATA")
    render(topology)


def _rotate(what: str) -> int:
    if what == "signing-key":
        return _run_as("identity", [str(PYTHON), "-m", "worldmesh_identity", "rotate-signing-key"])
    topology = _topology()
    folder, services = topology.data / "certs", [s.name for s in topology.services]
    up = World(topology, _say).running()
    if what == "certificates":
        ensure_certificates(folder, services, renew=True)
        _say(f"renewed all certificates in {folder}")
    else:
        _rotate_authorities(folder, services, up=up)
    if up:
        _say(f"done: within {READ_SECONDS:g} s all have read that")
    else:
        _say("done: the world is not up, and has them from its next start on")
    return 0


def _rotate_authorities(folder: Path, services: Sequence[str], *, up: bool) -> None:
    """In three steps, between which everybody who runs reads the files again."""
    steps = (
        (introduce_authorities, "all trust new authorities beside those of now"),
        (adopt_authorities, "the new authorities have signed everybody"),
        (retire_authorities, "nobody trusts the old authorities any more"),
    )
    for number, (step, done) in enumerate(steps, 1):
        if up and number > 1:
            _say(f"  waiting {READ_SECONDS:g} s, until everybody has read that")
            time.sleep(READ_SECONDS)
        step(folder, services)
        _say(f"step {number} of {len(steps)}: {done}")


def _where() -> None:
    """What there is, is printed also while not all is ready: then it is needed most."""
    addresses = World(_topology(), _say).where()
    print(json.dumps(addresses, indent=2), flush=True)
    _must_be_ready(addresses)


def _must_be_ready(addresses: Json) -> None:
    waiting = cast("list[str]", addresses["not_ready"])
    if SUPERVISOR in waiting:
        raise WorldError(
            "the supervisor is gone, what it started runs on unwatched: `make up` ends that and starts anew"
        )
    if waiting:
        raise WorldError(f"the world is not ready: {', '.join(waiting)} (see {addresses['logs']})")


def _up(*, detach: bool) -> int:
    world = World(_checked(_topology()), _say)
    if world.running():
        addresses = world.where()
        _must_be_ready(addresses)
        if other := world.other_settings():
            raise WorldError(f"a world with other settings is up: {other}; `make down up` starts it with those of now")
        print(announce(addresses))
        print("It was up already.")
        return 0
    end_on_signals()
    _say("starting the world")
    print(announce(world.start()), flush=True)
    if not detach:
        print("Ctrl-C ends it.", flush=True)
        attend(world)
    return 0


def _run_as(service: str, argv: list[str]) -> int:
    command = argv[1:] if argv[:1] == ["--"] else argv
    if not command:
        raise TopologyError("run-as takes a service of the catalogue, `--` and a command")
    settings = World(_topology(), _say).settings_of(service)
    return subprocess.run(command, env=without_settings(os.environ) | settings, check=False).returncode


def _topology(*, development: bool = True) -> Topology:
    base = os.environ.get("WORLDMESH_PORT_BASE", str(_BASE))
    if not base.isdigit():
        raise TopologyError(f"WORLDMESH_PORT_BASE={base}: not a number")
    data = Path(os.environ.get("WORLDMESH_DATA", ROOT / ".data")).resolve()
    overrides = os.environ.get("WORLDMESH_OVERRIDES", "")
    return make_topology(
        load_catalogue(CATALOGUE),
        base=int(base),
        data=data,
        environ=os.environ,
        development=development,
        overrides=load_overrides(Path(overrides)) if overrides else {},
    )


def _checked(topology: Topology) -> Topology:
    """Only for a world that is to be started: what was wrong then does not keep anybody from ending it."""
    check_overrides(topology.overrides, known_settings(ROOT))
    return topology


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
