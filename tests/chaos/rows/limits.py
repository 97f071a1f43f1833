"""More comes than there is room for."""

from __future__ import annotations

import asyncio
import resource
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from tests.chaos.generator import Result
from tests.chaos.probe import hello
from tests.support.world import World

from .row import GATEWAY, NONE_LOST, Row, Scene, pid_of

OVERLOADED = 4100
_COMERS = 200
_AT_ONCE = 32


@contextmanager
def _few_descriptors(pid: int) -> Iterator[None]:
    """The process may have no more files open than it has now."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    greatest = max(int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (greatest + 1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def _come(url: str, tls: ssl.SSLContext, token: str, stay: AsyncExitStack) -> str:
    """Open a socket: how that ended. One that is let in stays."""
    try:
        await stay.enter_async_context(hello(url, tls, token))
    except ConnectionClosed as error:
        return str(error.rcvd.code) if error.rcvd else "cut"
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    return "let in"


async def _crowd(world: World, url: str, pid: int, token: str) -> tuple[Counter[str], str]:
    """Many come while there are no descriptors, and one comes afterwards: how that ended."""
    tls = ssl.create_default_context(cafile=world.addresses["ca"])
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def come() -> str:
        async with at_once:
            return await _come(url, tls, token, stay)

    async with AsyncExitStack() as stay:
        with _few_descriptors(pid):
            ends = Counter(await asyncio.gather(*(come() for _ in range(_COMERS))))
        return ends, await _come(url, tls, token, stay)


def _out_of_descriptors(scene: Scene) -> None:
    """A gateway may open no more files, and many come."""
    world, name = scene.world, GATEWAY(scene.rng)
    url = str(world.addresses["gateways_wss"][int(name.rpartition("-")[2])])
    token = world.guest("comer").access_token
    scene.mark()
    ends, after = asyncio.run(_crowd(world, url, pid_of(world, name), token))
    scene.figures |= {
        "turned_away": ends.pop(str(OVERLOADED), 0),
        "let_in": ends.pop("let in", 0),
        "unheard": ends.total(),
        "unheard_why": dict(ends),
        "let_in_after": after == "let in",
    }


def _turned_away(result: Result) -> list[str]:
    wrong = [f"{result['unheard']} heard nothing: {result['unheard_why']}"] if result["unheard"] else []
    wrong += [] if result["turned_away"] else ["nobody was turned away"]
    return wrong + ([] if result["let_in_after"] else ["when there were descriptors again nobody was let in"])


ROWS = (
    Row(
        12,
        "gateway out of file descriptors",
        _out_of_descriptors,
        f"new sockets are closed with 4100 (come back later), old ones unharmed; {NONE_LOST}",
        3000,
        check=_turned_away,
    ),
)
