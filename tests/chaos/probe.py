"""Somebody who calls and comes by all the time, and counts what fails."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import cast

import httpx
import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.world import Guest, World

TIMEOUT = 5.0


@dataclass
class Probe:
    """What was tried, and how often it failed, and why."""

    world: World
    tried: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    signed_by: set[str] = field(default_factory=set)
    """Keys that have signed the tokens that were given out."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Call by REST ten times a second, and sign in and open a socket at each gateway once a second."""
        ends = threading.Event()
        threads = [
            threading.Thread(target=self._every, args=(ends, *each)) for each in ((0.1, self._call), (1.0, self._enter))
        ]
        with ExitStack() as stack:
            self._guest = self.world.guest("probe")
            self._tls = ssl.create_default_context(cafile=self.world.addresses["ca"])
            for thread in threads:
                thread.start()
                stack.callback(thread.join)
            stack.callback(ends.set)
            yield

    def _every(self, ends: threading.Event, seconds: float, do: Callable[[], None]) -> None:
        due = time.monotonic()
        while not ends.is_set():
            do()
            due = max(due + seconds, time.monotonic())
            ends.wait(due - time.monotonic())

    def _try(self, what: str, do: Callable[[], None]) -> None:
        self.tried[what] += 1
        try:
            do()
        except Exception as error:  # whatever it is, it is counted
            self.failed[what] += 1
            self.why[f"{what}: {error!r}"[:200]] += 1

    def _call(self) -> None:
        """A connection of its own each time: so certificates are looked at."""
        self._try("calls", lambda: self._get_self(self._guest))

    def _get_self(self, guest: Guest) -> None:
        url = f"{self.world.addresses['rest_tls']}/v1/identity/self"
        httpx.get(url, headers=guest.headers, verify=self._tls, timeout=TIMEOUT).raise_for_status()

    def _enter(self) -> None:
        self._try("sign-ins", self._sign_in)
        for url in self.world.addresses["gateways_wss"]:
            self._try("sockets", lambda url=url: self._open(url))  # type: ignore[misc]

    def _sign_in(self) -> None:
        guest = self.world.guest("probe")
        self.signed_by.add(str(jwt.get_unverified_header(guest.access_token)["kid"]))
        self._guest = guest
        self._get_self(guest)

    def _open(self, url: str) -> None:
        async def open_and_close() -> None:
            async with hello(url, self._tls, self._guest.access_token):
                pass

        asyncio.run(open_and_close())


@asynccontextmanager
async def hello(url: str, tls: ssl.SSLContext, token: str) -> AsyncIterator[ClientConnection]:
    """A socket on which somebody was welcomed. Not by threads: theirs lose an answer in some hundred over TLS."""
    subprotocols = [Subprotocol("worldmesh.v1.json")]
    async with connect(url, ssl=tls, subprotocols=subprotocols, open_timeout=TIMEOUT, close_timeout=1) as socket:
        await socket.send(json.dumps({"rid": 1, "hello": {"access_token": token}}))
        answer = cast("dict[str, object]", json.loads(await asyncio.wait_for(socket.recv(), TIMEOUT)))
        if "welcome" not in answer:
            raise RuntimeError(f"hello was answered with {answer}")
        yield socket
