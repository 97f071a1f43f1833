"""Redis as production has it, for faults: a master with replicas that sentinels watch, and a cluster. Real servers on
loopback, each a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from valkey import Valkey
from valkey.exceptions import ValkeyError
from worldmesh_mesh.render import valkey_path

HOST = "127.0.0.1"
MASTER_NAME = "worldmesh"
# How long a master says nothing before the others hold it for dead, in ms. Replicas of a busy machine need a second.
DOWN_AFTER = 1000
_SLOTS = 16384
_PATIENCE = 30.0


@dataclass
class Server:
    """One process, which can be killed and started again with what it has on disk."""

    folder: Path
    port: int
    arguments: list[str]
    sentinel: str = ""
    """The content of a configuration file, of a sentinel."""
    process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        command = [str(valkey_path())]
        if self.sentinel:
            file = self.folder / "sentinel.conf"
            if not file.exists():  # a sentinel keeps what it learns there
                file.write_text(self.sentinel)
            command += [str(file), "--sentinel"]
        command += ["--port", str(self.port), "--bind", HOST, "--dir", str(self.folder), *self.arguments, *more]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(f"port {self.port} answers", self.answers)

    def kill(self) -> None:
        """Kill it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def runs(self) -> bool:
        """Whether it was not killed."""
        return self.process is not None

    def answers(self) -> bool:
        """Whether it takes commands."""
        return self.ask("PING") in (b"PONG", True)

    def ask(self, *command: str | int) -> object:
        """What it answers; an error is one that is to be tried again."""
        with suppress(ValkeyError), Valkey(HOST, self.port, socket_timeout=2) as client:
            return cast("object", client.execute_command(*command))
        return None

    def info(self, section: str) -> dict[str, object]:
        """What it says of itself."""
        return cast("dict[str, object]", self.ask("INFO", section) or {})


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    limit = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > limit:
            raise TimeoutError(f"it does not happen that {what}")
        time.sleep(0.05)


_DATA = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0"]


@dataclass
class Sentinels:
    """A master with two replicas, and three sentinels."""

    data: list[Server] = field(default_factory=list)
    sentinels: list[Server] = field(default_factory=list)

    @contextmanager
    def running(self, base: int) -> Iterator[dict[str, str]]:
        """Ports from 600 above the base on. What services are told."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            first = base + 600
            watch = (
                f"sentinel monitor {MASTER_NAME} {HOST} {first} 2\n"
                f"sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER}\n"
                f"sentinel failover-timeout {MASTER_NAME} 6000\n"
            )
            self.data = [Server(folder / f"data-{n}", first + n, _DATA) for n in range(3)]
            self.sentinels = [Server(folder / f"sentinel-{n}", base + 610 + n, [], sentinel=watch) for n in range(3)]
            for server in (*self.data, *self.sentinels):
                stack.callback(server.kill)
            self.data[0].start()
            for replica in self.data[1:]:
                replica.start("--replicaof", f"{HOST} {first}")
            for sentinel in self.sentinels:
                sentinel.start()
            self.make_whole()
            addresses = ",".join(f"{HOST}:{s.port}" for s in self.sentinels)
            yield {"WORLDMESH_REDIS_ADDRS": addresses, "WORLDMESH_REDIS_MASTER": MASTER_NAME}

    @property
    def master(self) -> Server:
        """Whom the sentinels hold for the master."""
        answer = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        port = int(cast("list[bytes]", answer)[1])
        return next(s for s in self.data if s.port == port)

    def replicas(self) -> list[Server]:
        """Those that follow the master."""
        master = self.master
        return [s for s in self.data if s is not master]

    def make_whole(self) -> None:
        """Start what was killed, and wait until all follow the master and all sentinels know all."""
        master = self.master
        for server in self.data:
            if not server.runs:
                server.start("--replicaof", f"{HOST} {master.port}")
        until("replicas follow", lambda: all(self._follows(r) for r in self.replicas()))
        until("sentinels know all", lambda: all(self._knows_all(s) for s in self.sentinels))

    def _follows(self, replica: Server) -> bool:
        info = replica.info("replication")
        return info.get("master_link_status") == "up" and info.get("master_port") == self.master.port

    @staticmethod
    def _knows_all(sentinel: Server) -> bool:
        masters = sentinel.info("sentinel")
        known = str(masters.get("master0"))
        return "'status': 'ok'" in known and "'slaves': 2" in known and "'sentinels': 3" in known

    def crash(self, forget: float, strikes: Callable[[], AbstractContextManager[None]]) -> None:
        """Kill the master. If time to forget is given, its replicas have not heard of it for so long before."""
        master = self.master
        if forget:
            for replica in self.replicas():
                replica.ask("REPLICAOF", HOST, 1)  # nobody is there
            time.sleep(forget)
        with strikes():
            master.kill()


@dataclass
class Cluster:
    """Three masters with a replica each."""

    servers: list[Server] = field(default_factory=list)

    @contextmanager
    def running(self, base: int) -> Iterator[dict[str, str]]:
        """Ports from 620 above the base on. What services are told."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.servers = [
                Server(folder / f"node-{n}", base + 620 + n, self._settings(base + 640 + n)) for n in range(6)
            ]
            for server in self.servers:
                stack.callback(server.kill)
                server.start()
            self._join()
            addresses = ",".join(f"{HOST}:{s.port}" for s in self.servers)
            yield {"WORLDMESH_REDIS_ADDRS": addresses, "WORLDMESH_REDIS_CLUSTER": "true"}

    @staticmethod
    def _settings(bus: int) -> list[str]:
        # A replica that starts after its master has gone never followed it: it may take over all the same.
        cluster = ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-replica-validity-factor", "0"]
        return [*_DATA, *cluster, "--cluster-node-timeout", str(DOWN_AFTER), "--cluster-allow-replica-migration", "no"]

    def _join(self) -> None:
        first = self.servers[0]
        for n, server in enumerate(self.servers[:3]):
            server.ask("CLUSTER", "ADDSLOTSRANGE", n * _SLOTS // 3, (n + 1) * _SLOTS // 3 - 1)
        for server in self.servers[1:]:
            bus = server.arguments[server.arguments.index("--cluster-port") + 1]
            first.ask("CLUSTER", "MEET", HOST, server.port, int(bus))
        until("all know all", lambda: all(self._knows(s) == len(self.servers) for s in self.servers))
        for master, replica in zip(self.servers[:3], self.servers[3:], strict=True):
            until("it follows", lambda m=master, r=replica: r.ask("CLUSTER", "REPLICATE", self._id(m)) is not None)  # type: ignore[misc]
        self.make_whole()

    @staticmethod
    def _id(server: Server) -> str:
        return cast("bytes", server.ask("CLUSTER", "MYID")).decode()

    @staticmethod
    def _knows(server: Server) -> int:
        nodes = cast("bytes", server.ask("CLUSTER", "NODES") or b"").splitlines()
        return sum(b"handshake" not in node for node in nodes)

    def masters(self) -> list[Server]:
        """Those that take writes."""
        return [s for s in self.servers if s.runs and s.info("replication").get("role") == "master"]

    def make_whole(self) -> None:
        """Start what was killed, and wait until each master has its replica."""
        for server in self.servers:
            if not server.runs:
                server.start()
        until("the cluster is whole", self._is_whole)

    def _is_whole(self) -> bool:
        states = [s.info("replication") for s in self.servers]
        masters = [s for s in states if s.get("role") == "master"]
        up = [s for s in states if s.get("master_link_status") == "up"]
        healthy = [s for s in self.servers if b"cluster_state:ok" in cast("bytes", s.ask("CLUSTER", "INFO") or b"")]
        return len(masters) == len(up) == 3 and len(healthy) == len(self.servers)

    def crash(self, master: Server, forget: float, strikes: Callable[[], AbstractContextManager[None]]) -> None:
        """Kill a master. If time to forget is given, its replica has died so long before, and comes back then."""
        if not forget:
            with strikes():
                master.kill()
            return
        replica = next(s for s in self.servers if s.info("replication").get("master_port") == master.port)
        replica.kill()
        time.sleep(forget)
        with strikes():
            master.kill()
        replica.start()
