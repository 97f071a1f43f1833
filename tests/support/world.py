"""Starts a world for tests and knows how to speak to it."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import grpc
import httpx

ROOT = Path(__file__).resolve().parents[2]
SCALE = {"RELAYS": "2", "GATEWAYS": "2", "PRESENCE": "2"}


# Who is cut off dials again as soon as a client of ours does: the library waits for a second and more.
_SOON = [(f"grpc.{which}_reconnect_backoff_ms", 100) for which in ("initial", "min", "max")]


@dataclass(frozen=True)
class Guest:
    """Somebody who has signed in."""

    user_id: str
    username: str
    session_id: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """For REST."""
        return {"authorization": f"Bearer {self.access_token}"}


class World:
    """A world, by the settings that name it."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ

    @cached_property
    def addresses(self) -> dict[str, Any]:
        """`where`, asked once."""
        return self.where

    @property
    def where(self) -> dict[str, Any]:
        """The addresses, as `make where` says them."""
        return cast("dict[str, Any]", json.loads(self.command("where").stdout))

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the mesh's on this world."""
        done = subprocess.run(
            [sys.executable, "-m", "worldmesh_mesh", *arguments],
            env=os.environ | self._environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check and done.returncode:
            print(done.stderr)  # what a failing test shows
            done.check_returncode()
        return done

    @property
    def environ(self) -> dict[str, str]:
        """What makes commands mean this world."""
        return dict(self._environ)

    @property
    def rest(self) -> str:
        """Base URL of REST."""
        return str(self.addresses["rest"])

    def certificate(self, owner: str, name: str) -> bytes:
        """A file of a service's or proxy's certificates."""
        return (Path(self.addresses["certs"]) / owner / name).read_bytes()

    def guest(self, device_name: str = "test", http: httpx.Client | None = None) -> Guest:
        """Sign in as a new guest; by a client that is there already, if there are many: it costs much to make one."""
        body = {"device_id": secrets.token_urlsafe(24), "device_name": device_name}
        post = http.post if http else httpx.post
        response = post(f"{self.rest}/v1/identity:signInGuest", json=body)
        response.raise_for_status()
        account, tokens = response.json()["account"], response.json()["tokens"]
        return Guest(
            user_id=account["user_id"],
            username=account["username"],
            session_id=tokens["session_id"],
            access_token=tokens["access_token"],
            refresh_token=tokens["refresh_token"],
        )

    def edge_channel(self) -> grpc.Channel:
        """gRPC at the edge, with TLS."""
        ca = Path(self.addresses["ca"]).read_bytes()
        return grpc.secure_channel(self.addresses["grpc"], grpc.ssl_channel_credentials(ca), _SOON)

    def mesh_channel(self, service: str) -> grpc.Channel:
        """The mesh listener, as a service: with its certificate."""
        return self._channel(self.addresses["mesh"], service, "proxies-ca.pem", "mesh.worldmesh.internal")

    def direct_channel(self, instance: str, as_owner: str) -> grpc.Channel:
        """A service's own port; a proxy's certificate opens it, a service's does not."""
        service = instance.rpartition("-")[0]
        authority = "services-ca.pem"
        credentials = grpc.ssl_channel_credentials(
            (Path(self.addresses["certs"]) / authority).read_bytes(),
            self.certificate(as_owner, "tls.key"),
            self.certificate(as_owner, "tls.pem"),
        )
        options = [("grpc.ssl_target_name_override", f"{service}.worldmesh.internal")]
        return grpc.secure_channel(self.addresses["services"][instance], credentials, options)

    def _channel(self, target: str, owner: str, authority: str, name: str) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(
            self.certificate(owner, authority), self.certificate(owner, "tls.key"), self.certificate(owner, "tls.pem")
        )
        return grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", name), *_SOON])


@contextmanager
def running_world(
    data: Path,
    *,
    otlp: str = "",
    scale: dict[str, str] | None = None,
    base: int | None = None,
    overrides: dict[str, dict[str, str]] | None = None,
) -> Iterator[World]:
    """Start a world, and end it. If it does not come up, its logs are in the error."""
    environ = {
        "WORLDMESH_DATA": str(data),
        "WORLDMESH_PORT_BASE": str(base or free_base()),
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
        **(SCALE if scale is None else scale),
    }
    if overrides:
        file = data / "overrides.yaml"
        file.write_text(json.dumps(overrides))
        environ["WORLDMESH_OVERRIDES"] = str(file)
    command = [sys.executable, "-m", "worldmesh_mesh"]
    up = subprocess.run([*command, "up", "--detach"], env=os.environ | environ, capture_output=True, text=True)
    try:
        assert up.returncode == 0, up.stderr + _logs(data)
        yield World(environ)
    finally:
        subprocess.run([*command, "down"], env=os.environ | environ, check=True, timeout=60)


def free_base() -> int:
    """A port base whose thousand ports look free."""
    for _ in range(50):
        base = random.randrange(20_000, 31_000, 1_000)
        if all(_is_free(base + offset) for offset in (27, 79, 80, 500)):
            return base
    raise AssertionError("no free ports from 20000 to 31000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _logs(data: Path) -> str:
    parts = []
    for log in sorted((data / "log").glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-8:]
        parts.append("\n".join([f"-- {log.name}", *tail]))
    return "\n".join(parts)
