"""The network between the processes of a world, which proxy/ makes bad."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from worldmesh_mesh.catalogue import load_catalogue
from worldmesh_mesh.paths import CATALOGUE
from worldmesh_mesh.topology import HOST, MAX_INSTANCES, MESH, REDIS, SERVICES, WSS

from tests.support.world import ROOT

PROGRAM = ROOT / ".build/chaos/proxy"
FIRST_PORT = 600
"""Of the links, above the world's port base, where the world itself has none."""

Way: TypeAlias = Literal["up", "down", "both"]
"""`up` is from the one who has opened the connection."""


@dataclass(frozen=True)
class Link:
    """A way between two processes that goes through the proxy."""

    source: str
    """An instance, or `clients`."""
    target: str
    """`redis`, `mesh`, of clients a gateway, or of a mesh of its own (second_mesh.py) a relay or presence."""

    @property
    def name(self) -> str:
        """For example `relay-0.redis`."""
        return f"{self.source}.{self.target}"

    @property
    def offset(self) -> int:
        """The target's port, above the base."""
        match self.target:
            case "redis":
                return REDIS
            case "mesh":
                return MESH
            case instance:
                service, _, number = instance.partition("-")
                return WSS + int(number) if service == "gateway" else _grpc_offset(service, int(number))

    @property
    def by_connect(self) -> bool:
        """Whether the source says by CONNECT where it wants to go: Envoy to a service."""
        return self.target.startswith(("relay", "presence"))

    def setting(self, address: str) -> dict[str, dict[str, str]]:
        """What has the source go by this link."""
        match self.target:
            case "redis":
                return {self.source: {"WORLDMESH_REDIS_ADDRS": address}}
            case "mesh":
                return {self.source: {"WORLDMESH_MESH_ADDR": address}}
            case _:
                return {}


def _grpc_offset(service: str, number: int) -> int:
    index = [s.name for s in load_catalogue(CATALOGUE)].index(service)
    return SERVICES + (index * MAX_INSTANCES + number) * 2


class Network:
    """The links of a world that runs."""

    def __init__(self, process: subprocess.Popen[str], links: Sequence[Link], base: int) -> None:
        self._process = process
        self._base = base
        self._links = {link.name: FIRST_PORT + n for n, link in enumerate(links)}
        self._tell(
            [
                {
                    "name": link.name,
                    "listen": f"{HOST}:{base + self._links[link.name]}",
                    "upstream": f"{HOST}:{base + link.offset}",
                    "connect": link.by_connect,
                }
                for link in links
            ]
        )
        self.packets_lost = 0
        """So far, over all links."""
        self.overrides: dict[str, dict[str, str]] = {}
        for link in links:
            for name, settings in link.setting(self._address(link.name)).items():
                self.overrides.setdefault(name, {}).update(settings)

    def gateways(self, urls: Sequence[str]) -> list[str]:
        """The addresses of gateways, as clients find them whose way goes through the proxy."""
        return [
            f"wss://localhost:{self._base + self._links[name]}/ws"
            if (name := f"clients.gateway-{n}") in self._links
            else url
            for n, url in enumerate(urls)
        ]

    def stall(self, link: str, way: Way = "both") -> None:
        """Lets nothing through any more, neither data nor an end, and new connections in that hear nothing."""
        self._fault(link, "stall", way)

    def cut(self, link: str) -> None:
        """Ends all connections and refuses new ones."""
        self._fault(link, "cut", "both")

    def delay(self, link: str, ms: int, way: Way = "both") -> None:
        """Has everything arrive later."""
        self._fault(link, "latency", way, latency=ms)

    def slow(self, link: str, kb_per_s: int, way: Way = "both") -> None:
        """Bounds the bytes a second of each connection."""
        self._fault(link, "bandwidth", way, rate=kb_per_s)

    def lose(self, link: str, *, share: float, resets: float, seed: int, way: Way = "both") -> None:
        """Loses a share of packets, which are sent again, and with some of them the connection."""
        self._fault(link, "loss", way, rate=share, again=200, resets=resets, seed=seed)

    def heal(self, *links: str) -> None:
        """Makes links good again; without a name all of them."""
        for link in links or self._links:
            self._fault(link, "heal", "both")

    def _fault(self, link: str, fault: str, way: Way, **attributes: float) -> None:
        self._tell({"link": link, "fault": fault, "way": way, "attributes": attributes})

    def _address(self, name: str) -> str:
        return f"{HOST}:{self._base + self._links[name]}"

    def _tell(self, what: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the proxy has ended with {self._process.wait()}")
        answer = json.loads(line)
        if error := answer["error"]:
            raise RuntimeError(f"the proxy: {error}")
        self.packets_lost = int(answer["packets_lost"])


@contextmanager
def network(links: Sequence[Link], base: int) -> Iterator[Network]:
    """Starts the proxy."""
    process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Network(process, links, base)
    finally:
        process.kill()
        process.wait()
