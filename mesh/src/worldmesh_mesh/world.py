"""Starts, watches and ends a world on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from . import strays
from .envoy.basics import Json
from .envoy.edge import PROXY as EDGE_PROXY
from .envoy.mesh import PROXY as MESH_PROXY
from .paths import BIN
from .processes import MARK, longest_drain, processes, where
from .render import programs, render
from .succession import serving
from .supervisor import SOCKET, supervised
from .topology import HOST, Topology

SUPERVISOR = "supervisor"
"""As `where` names it while it is gone."""

_LOG = "log/supervisor.log"
_START_SECONDS = 90.0
_STOP_SECONDS = 30.0
"""How long the supervisor may take to end everything, beside what one of the services drains for."""
_SUCCESSION_SECONDS = 30.0
_MOST_RESTARTS = 5
"""Of a process that was never ready: what ends so often while the world starts does not start."""
_LAST_WORDS = 300


class WorldError(Exception):
    """The world can not be started, or is not there. The message says what to do."""


Say = Callable[[str], None]


class World:
    """The world in one data folder."""

    def __init__(self, topology: Topology, say: Say) -> None:
        self._topology = topology
        self._say = say
        self._pid_file = topology.data / "supervisor.pid"

    def start(self) -> Json:
        """Render, start the supervisor, wait until everything is ready. Returns the addresses."""
        self._clear()
        self._check_ports()
        render(self._topology)
        try:
            supervisor = self._spawn()
            self._pid_file.write_text(f"{supervisor.pid}\n")
            self._await_ready(supervisor)
        except BaseException:
            self.stop()
            raise
        return self._addresses()

    def running(self) -> bool:
        """Whether the supervisor lives."""
        return self._supervisor() is not None

    def stop(self) -> bool:
        """End everything, and wait until it has ended; false if there was nothing."""
        if pid := self._supervisor():
            strays.end([pid], _STOP_SECONDS + longest_drain(self._topology))
        left = strays.processes_of(self._topology.data)
        strays.end(left)
        self._pid_file.unlink(missing_ok=True)
        return bool(pid or left)

    def wait(self) -> None:
        """Wait until the supervisor ends."""
        while self.running():
            time.sleep(0.5)

    def where(self) -> Json:
        """The addresses of the world that runs, whatever the settings are now, with the pids of its processes.

        `not_ready` names what is not: nothing, once the world is up. It names the supervisor, if only what that has
        started still runs. Raises WorldError while nothing does.
        """
        supervised = self.running()
        pids = self._pids() if supervised else strays.names_of(self._topology.data)
        if not pids:
            self._must_run()
        try:
            addresses = self._addresses()
        except FileNotFoundError:
            raise WorldError(f"a world runs whose data is gone ({', '.join(pids)}): `make down` ends it") from None
        return addresses | {
            "not_ready": ([] if supervised else [SUPERVISOR]) + self._not_ready(addresses),
            "pids": {name: serving(pid) for name, pid in pids.items()},
        }

    def succeed(self, proxy: str) -> None:
        """Start the next Envoy of a name beside the one that serves, and wait until that one has drained and ended.

        Raises WorldError if there is none of that name, if the next one would refuse its configuration (the one that
        serves goes on then), or does not start.
        """
        self._must_run()
        succession = self._pids().get(proxy, 0)
        if proxy not in (EDGE_PROXY, MESH_PROXY) or not succession:
            raise WorldError(f"no Envoy of this world is called {proxy!r}")
        self._check_envoy(proxy)
        before = serving(succession)
        os.kill(succession, signal.SIGHUP)
        limit = time.monotonic() + _SUCCESSION_SECONDS
        while strays.alive(before):
            if time.monotonic() > limit:
                raise WorldError(f"the {proxy} of before does not end (see {self._addresses()['logs']})")
            time.sleep(0.1)
        if self._pids().get(proxy) != succession:
            raise WorldError(f"the next {proxy} did not start (see {self._addresses()['logs']})")

    def _check_envoy(self, proxy: str) -> None:
        """An Envoy that refuses its configuration ends, and the one before with it."""
        config = f"envoy/{proxy.removeprefix('envoy-')}.json"
        check = [str(programs().envoy), "--mode", "validate", "--config-path", config, "--log-level", "error"]
        try:
            done = subprocess.run(
                check, cwd=self._topology.data, capture_output=True, text=True, timeout=_SUCCESSION_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise WorldError(
                f"to check {config} takes more than {_SUCCESSION_SECONDS:.0f} s: is the machine busy?"
            ) from None
        if done.returncode:
            words = (done.stdout + done.stderr).strip()[-_LAST_WORDS:]
            raise WorldError(f"the next {proxy} would not take {self._topology.data / config}: {words}")

    def settings_of(self, service: str) -> dict[str, str]:
        """What the first instance of a service was started with, in the world that runs, whatever the settings are now.

        Raises WorldError while the world is not up.
        """
        self._must_run()
        started = cast("dict[str, dict[str, list[str]]]", self._read("processes.json")["processes"])
        if f"{service}-0" not in started:
            raise WorldError(f"no service of this world is called {service!r}")
        settings = dict(line.split("=", 1) for line in started[f"{service}-0"]["environment"])
        del settings[MARK]  # whoever uses them is no process of the world's, to be ended with it
        return settings

    def other_settings(self) -> str:
        """How the world that runs differs from what the settings say now, in words; empty if not at all."""
        runs, asked = self._addresses(), where(self._topology)
        if runs["rest_tls"] != asked["rest_tls"]:
            return f"it is at {runs['rest_tls']}, not at {asked['rest_tls']}"
        has, wanted = (cast("dict[str, str]", each["services"]).keys() for each in (runs, asked))
        said = [f"it has {name} too" for name in sorted(has - wanted)]
        said += [f"it has no {name}" for name in sorted(wanted - has)]
        if not said and self._read("processes.json") != processes(self._topology, programs()):
            said.append("its processes were started otherwise")
        return ", ".join(said)

    def _must_run(self) -> None:
        if not self.running():
            raise WorldError("the world is not up: start it with `make up`")

    def _spawn(self) -> subprocess.Popen[bytes]:
        data = self._topology.data
        # What its processes say it would repeat on its standard output: it stands in their own files.
        with (data / _LOG).open("ab") as log:
            return subprocess.Popen(
                [
                    BIN / "process-compose",
                    "up",
                    "--config",
                    data / "processes.json",
                    "--tui=false",
                    "--keep-project",
                    "--unix-socket",
                    SOCKET,
                    "--ordered-shutdown",
                    "--log-file",
                    _LOG,
                ],
                cwd=data,
                env=_environment(data),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on
                umask=0o077,  # nobody else may open its socket
            )

    def _await_ready(self, supervisor: subprocess.Popen[bytes]) -> None:
        start, since = time.monotonic(), time.time()
        addresses = self._addresses()
        admin = cast("dict[str, str]", addresses["admin"])
        said: list[str] = []
        were_ready: set[str] = set()
        while waiting := self._not_ready(addresses):
            if supervisor.poll() is not None:
                raise WorldError(f"the supervisor has ended: see {self._topology.data / _LOG}")
            were_ready |= {_process(name) for name in admin.keys() - set(waiting)}
            self._give_up_on_what_does_not_start(were_ready, since)
            passed = time.monotonic() - start
            if passed > _START_SECONDS:
                names = ", ".join(f"{name}{self._last_words(_process(name), since)}" for name in waiting)
                raise WorldError(f"not ready after {passed:.0f} s: {names}; see {self._topology.data / 'log'}")
            if waiting != said:
                self._say(f"  {passed:4.1f} s  waiting for {', '.join(waiting)}")
                said = waiting
            time.sleep(0.2)

    def _give_up_on_what_does_not_start(self, were_ready: set[str], since: float) -> None:
        try:
            listed = supervised(self._topology.data)
        except OSError:
            return  # it has only just started itself
        for process in listed:
            name, restarts = process["name"], process["restarts"]
            if restarts >= _MOST_RESTARTS and name not in were_ready:
                raise WorldError(
                    f"{name} does not start: it has ended {restarts} times{self._last_words(name, since)}; "
                    f"see {self._log(name)}"
                )

    def _log(self, process: str) -> Path:
        return self._topology.data / f"log/{process}.log"

    def _last_words(self, process: str, since: float) -> str:
        """The last line of a process's log, to be put behind its name; nothing if it is from an earlier world."""
        try:
            if self._log(process).stat().st_mtime < since:
                return ""
            lines = self._log(process).read_text(errors="replace").split("\n")
        except OSError:
            return ""
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f" (it said last: {last[:_LAST_WORDS]})" if last else ""

    def _addresses(self) -> Json:
        """As they were when the world was started."""
        return self._read("where.json")

    def _read(self, name: str) -> Json:
        return cast("Json", json.loads((self._topology.data / name).read_text()))

    def _not_ready(self, addresses: Json) -> list[str]:
        admin = cast("dict[str, str]", addresses["admin"])
        waiting = [name for name, page in admin.items() if not _answers(_readiness(page))]
        if waiting:
            return waiting
        if not _has_keys(admin["edge"]):
            return ["the edge's keys to check tokens"]
        # Envoy may be ready before its first health checks: a read through all of it tells.
        through = f"{addresses['rest']}/v1/rooms?page_size=1"
        return [] if not self._topology.development or _answers(through) else ["the way through the edge"]

    def _clear(self) -> None:
        """End what an earlier world in this folder has left."""
        if self.running():
            raise WorldError("the world is up already")
        if left := strays.processes_of(self._topology.data):
            self._say(f"ending {len(left)} processes that an earlier world has left")
            strays.end(left)
        self._pid_file.unlink(missing_ok=True)

    def _check_ports(self) -> None:
        for port, owner in sorted(self._topology.ports().items()):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise WorldError(
                        f"port {port} is taken, and {owner} needs it ({error.strerror}): "
                        f"end what holds it (`ss -ltnp 'sport = :{port}'` names it), "
                        "or move all ports with WORLDMESH_PORT_BASE=18000"
                    ) from None

    def _supervisor(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if pid in strays.processes_of(self._topology.data) else None

    def _pids(self) -> dict[str, int]:
        try:
            listed = supervised(self._topology.data)
        except OSError as error:
            raise WorldError(f"the supervisor does not answer: {error}") from None
        return {p["name"]: p["pid"] for p in listed if p["is_running"]}


def _process(name: str) -> str:
    """What the supervisor calls that whose admin page goes by a name."""
    return {"edge": EDGE_PROXY, "mesh": MESH_PROXY}.get(name, name)


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what configures a world: no settings of the caller leak into the services."""
    return {k: v for k, v in environ.items() if not k.startswith(("WORLDMESH_", "OTEL_", "PC_"))}


def _environment(data: Path) -> dict[str, str]:
    """The supervisor's environment."""
    return without_settings(os.environ) | {MARK: str(data), "PC_DISABLE_TUI": "1", "NO_COLOR": "1"}


def _has_keys(admin: str) -> bool:
    """Whether the edge has fetched the key set: until then it can check no token."""
    url = f"{admin}stats?filter=jwks_fetch_success&format=json"
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - loopback
            return any(stat.get("value", 0) > 0 for stat in json.load(response)["stats"])
    except OSError:
        return False


def _readiness(page: str) -> str:
    """Where a process says whether it is ready, by its admin page: of an Envoy the root, of a service its metrics."""
    return f"{page}ready" if page.endswith("/") else page.removesuffix("metrics") + "readyz"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - loopback
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def end_on_signals() -> None:
    """From now on Ctrl-C, SIGTERM and a terminal's end raise KeyboardInterrupt: once, for ending takes its time."""
    # A shell starts what runs in the background with SIGINT ignored; whoever sends it means it all the same. Who has
    # SIGHUP ignored (nohup) means to outlive the terminal.
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ending.append(signal.SIGHUP)

    def end(_number: int, _frame: object) -> None:
        for each in ending:
            signal.signal(each, signal.SIG_IGN)
        with suppress(OSError):  # the terminal may be gone
            os.write(2, b"\nending\n")  # not by print, which may be under way
        raise KeyboardInterrupt

    for each in ending:
        signal.signal(each, end)


def attend(world: World) -> None:
    """Stay in the foreground until the world or a signal ends it, then end the world."""
    try:
        with suppress(KeyboardInterrupt):
            world.wait()
    finally:
        world.stop()


def announce(addresses: Json) -> str:
    """What a person wants to know of a world that is up."""
    admin = cast("dict[str, str]", addresses["admin"])
    gateways = cast("list[str]", addresses["gateways_wss"])
    return f"""
The world is up.

  web world  {addresses["web"]}   (enter as a guest; a second window is a second person)
  REST       {addresses["rest"]}/v1/rooms
  gRPC       {addresses["grpc"]}   (TLS, CA: {addresses["ca"]})
  sockets    {addresses["wss"]}   or straight to a gateway: {gateways[0]}
  admin      {admin["edge"]}  {admin["mesh"]}
  logs       {addresses["logs"]}

  Sign in:   curl -s -d '{{"device_id":"a-secret-of-your-own-22+"}}' {addresses["rest"]}/v1/identity:signInGuest
  The same with TLS: {addresses["rest_tls"]}. All addresses as JSON: make where
"""
