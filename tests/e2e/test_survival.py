"""A process dies: clients come back by themselves, and go on in their room."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from worldmesh_client import ChatMessage, MemberLeft, Reconnected, ReconnectPolicy

from .people import Person, Places, gather, new_room, person

PERSISTENT = ReconnectPolicy(attempts=40, first_delay=0.05, max_delay=0.5)


async def talk(speaker: Person, listeners: list[Person], text: str) -> None:
    """Says something that all hear."""
    await speaker.client.chat(text)
    for one in listeners:
        await one.until(lambda me: text in [chat.text for chat in me.bodies(ChatMessage)], text)


@pytest.fixture(autouse=True)
def whole_again(world: Any) -> Iterator[None]:
    """Leaves the world as whole as it was."""
    yield
    processes(world)


async def kill(world: Any, name: str) -> None:
    """Kills a process as a crash would, once the world is whole; the supervisor starts it again."""
    pids = await asyncio.to_thread(processes, world)
    os.kill(pids[name], signal.SIGKILL)


def processes(world: Any) -> dict[str, int]:
    """Waits until everything is ready; pids by name."""
    limit = time.monotonic() + 60
    while True:
        try:
            pids: dict[str, int] = world.where["pids"]
            return pids
        except subprocess.CalledProcessError:
            assert time.monotonic() < limit, "the world does not become whole again"
            time.sleep(0.2)


def in_order(one: Person) -> bool:
    """Whether somebody heard every event of its room once, in order, since it came in."""
    numbers = [event.seq for event in one.events() if event.sub == 0]
    return numbers == list(range(one.snapshot.seq + 1, one.snapshot.seq + 1 + len(numbers)))


async def test_a_gateway_dies_and_its_clients_go_on_elsewhere_as_if_they_had_never_left(
    places: Places, world: Any
) -> None:
    async with person(places, 0) as ann, person(places, -1, "json", reconnect=PERSISTENT) as bo:
        room = await new_room(ann)
        await gather([ann, bo], room)
        await kill(world, "gateway-1")
        await ann.client.chat("while you were away")
        [back] = await bo.hears(Reconnected)
        assert back.close_code in (1006, 1011)
        assert back.snapshot is not None
        assert back.snapshot.resumed
        assert not back.snapshot.gap
        assert back.snapshot.self_entity == bo.snapshot.self_entity
        await bo.hears(ChatMessage)
        await talk(bo, [ann, bo], "back")
        await talk(ann, [ann, bo], "welcome")
        assert in_order(ann)
        assert in_order(bo)
        assert not ann.bodies(MemberLeft), "the others noticed"


async def test_relays_die_and_nobody_in_their_rooms_notices(places: Places, world: Any) -> None:
    """Everything that is answered is heard by all, once and in order, and no client has to do anything."""
    async with person(places, 0) as ann, person(places, 1, "json") as bo:
        room = await new_room(ann)
        await gather([ann, bo], room)
        said: list[str] = []
        done = asyncio.Event()

        async def speak(one: Person) -> None:
            number = 0
            while not done.is_set():
                text = f"{one.name} {number}"
                await one.client.chat(text)
                said.append(text)
                number += 1
                await asyncio.sleep(0.02)  # the pace of talking, nothing is waited for

        async with asyncio.TaskGroup() as group:
            for one in (ann, bo):
                group.create_task(speak(one))
            # Which relay has the room is the mesh's choice: so each dies in turn, and the other has it meanwhile.
            for name in ("relay-0", "relay-1"):
                await kill(world, name)
                await ann.until(partial(_more, said, len(said) + 50), "the room that goes on")
            done.set()
        for one in (ann, bo):
            await one.until(lambda me: len(me.bodies(ChatMessage)) >= len(said), "all that was answered")
            assert sorted(chat.text for chat in one.bodies(ChatMessage)) == sorted(said)
            assert in_order(one)
        assert {event.epoch for event in ann.events()} != {ann.snapshot.epoch}, "one of the relays had the room"
        assert not ann.bodies(MemberLeft)


def _more(said: list[str], than: int, _: Person) -> bool:
    return len(said) > than


async def test_a_relay_is_restarted_and_nobody_in_its_rooms_notices(places: Places, world: Any) -> None:
    async with person(places, 0) as ann, person(places, 1, "json") as bo:
        room = await new_room(ann)
        await gather([ann, bo], room)
        for number, name in enumerate(("relay-0", "relay-1")):
            pids = await asyncio.to_thread(processes, world)
            os.kill(pids[name], signal.SIGTERM)
            for again in range(10):
                await talk(ann, [ann, bo], f"during {number} {again}")
                await talk(bo, [ann, bo], f"and {number} {again}")
        assert in_order(ann)
        assert in_order(bo)
        assert {event.epoch for event in ann.events()} != {ann.snapshot.epoch}, "one of the relays had the room"
        assert not ann.bodies(MemberLeft)
