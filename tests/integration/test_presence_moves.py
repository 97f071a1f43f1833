"""Presence instances come and go; who is online stays so in everybody's eyes."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import grpc
import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from worldmesh.presence.v1 import presence_service_pb2, presence_service_pb2_grpc

from tests.support.world import World

PEOPLE = 40


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it does not come to pass"
        time.sleep(0.1)


def enter(world: World, number: int, stack: ExitStack) -> tuple[str, ClientConnection]:
    """Somebody who is online, by one of the gateways."""
    guest = world.guest()
    url = world.addresses["gateways_ws"][number % 2]
    socket = stack.enter_context(connect(url, subprotocols=["worldmesh.v1.json"]))  # type: ignore[list-item]
    socket.send(json.dumps({"rid": 1, "hello": {"access_token": guest.access_token}}))
    assert "welcome" in json.loads(socket.recv(timeout=5))
    return guest.user_id, socket


def users_on(world: World, instance: str) -> int:
    """How many users an instance of presence holds."""
    try:
        page = httpx.get(world.addresses["admin"][instance]).text
    except httpx.TransportError:
        return 0
    return int(float(re.findall(r"^worldmesh_presence_users (\S+)$", page, re.MULTILINE)[0]))


@contextmanager
def pinging(sockets: list[ClientConnection]) -> Iterator[None]:
    """Speaks for sockets that have nothing to say, for the gateway closes those from which it hears nothing."""
    over = threading.Event()

    def ping() -> None:
        while not over.wait(2):
            for socket in list(sockets):
                with suppress(ConnectionClosed):
                    socket.send(json.dumps({"ping": {"client_time_ms": 1}}))

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def watching(stub: presence_service_pb2_grpc.PresenceServiceStub, users: list[str]) -> Iterator[dict[str, list[bool]]]:
    """What a watch says of each, in order, but for what it says again."""
    told: dict[str, list[bool]] = {user: [] for user in users}
    over = threading.Event()
    calls: list[grpc.Call] = []

    def listen() -> None:
        while not over.is_set():
            call = stub.WatchPresence(presence_service_pb2.WatchPresenceRequest(user_ids=users))
            calls.append(call)
            try:
                for response in call:
                    for p in response.presences:
                        if not p.unknown and told[p.user_id][-1:] != [p.online]:
                            told[p.user_id].append(p.online)
            except grpc.RpcError:
                over.wait(0.1)  # the instance that it was opened at is gone

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        while thread.is_alive():
            calls[-1].cancel()
            thread.join(0.1)


def test_nobody_flaps_when_an_instance_is_killed_nor_when_it_is_back(world: World) -> None:
    """Its shards go to the other instance, and come back to it: gateways tell each everything."""
    wrong: list[str] = []
    with ExitStack() as stack:
        people: list[tuple[str, ClientConnection]] = []
        sockets: list[ClientConnection] = []
        stack.enter_context(pinging(sockets))
        for n in range(PEOPLE):
            people.append(enter(world, n, stack))
            sockets.append(people[-1][1])
        users = [user for user, _ in people]
        channel = stack.enter_context(world.mesh_channel("gateway"))
        stub = presence_service_pb2_grpc.PresenceServiceStub(channel)

        def all_online() -> bool:
            request = presence_service_pb2.BatchGetPresenceRequest(user_ids=users)
            try:
                presences = stub.BatchGetPresence(request, timeout=2).presences
            except grpc.RpcError:
                return False  # while the instance that is gone is found out
            wrong.extend(p.user_id for p in presences if not p.online and not p.unknown)
            return all(p.online for p in presences)

        eventually(all_online)
        wrong.clear()
        told = stack.enter_context(watching(stub, users))
        eventually(lambda: all(told.values()))
        held = users_on(world, "presence-0")
        assert 0 < held < PEOPLE, "both instances have some"

        killed = world.where["pids"]["presence-0"]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: all_online() and users_on(world, "presence-1") == PEOPLE)
        eventually(lambda: world.command("where", check=False).returncode == 0)

        def back() -> bool:
            return all_online() and users_on(world, "presence-0") + users_on(world, "presence-1") == PEOPLE

        eventually(lambda: users_on(world, "presence-0") == held and back())
        assert not wrong, "said to be offline when asked for"
        assert set(map(tuple, told.values())) == {(True,)}, "a watch heard of somebody who left or came"

        leaver, socket = people[0]
        socket.close()
        eventually(lambda: told[leaver] == [True, False])
        assert all(line == [True] for user, line in told.items() if user != leaver)
