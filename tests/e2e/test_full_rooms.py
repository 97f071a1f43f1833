"""A room so full that one sees only those around, over the whole path."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from worldmesh_client import ChatMessage, DialectName, RoomView
from worldmesh_messages.worldmesh.world.v1 import RoomSettings

from .people import PATIENCE, Person, Places, new_room, person

CROWD = 130  # more than the 128 who see each other anywhere
BATCH = 16  # who come in at once


def view(one: Person) -> RoomView:
    """The room as somebody knows it by all that it heard."""
    room = RoomView()
    room.take(one.snapshot)
    for event in one.heard:
        room.take(event)
    return room


async def test_in_a_full_room_one_sees_those_around_and_hears_everybody(places: Places) -> None:
    async with AsyncExitStack() as stack:

        async def enter(number: int, room_id: str) -> Person:
            dialect: DialectName = "json" if number % 2 else "flatbuffers"
            one = await stack.enter_async_context(person(places, number // 2, dialect))
            await one.join(room_id)
            return one

        owner = await stack.enter_async_context(person(places))
        room_id = await new_room(owner, capacity=CROWD + 10, settings=RoomSettings(width=200, depth=40, max_speed=100))
        await owner.join(room_id)
        for begin in range(0, CROWD, BATCH):
            await asyncio.gather(*(enter(i, room_id) for i in range(begin, min(begin + BATCH, CROWD))))
        last, walker = await enter(CROWD, room_id), await enter(CROWD + 1, room_id)
        assert last.snapshot.view_radius > 0
        assert len(last.snapshot.members) == 1

        everybody = CROWD + 3
        for one in (owner, last, walker):
            await one.until(lambda me: len(view(me).users) == everybody, "who is in")
            await one.until(lambda me: len(view(me).states) == everybody, "where they are")

        me = walker.snapshot.self_entity
        await walker.client.move(199, 0, 20)
        await walker.until(lambda w: set(view(w).states) == {me}, "that nobody is near")
        for one in (owner, last):
            await one.until(lambda o: me not in view(o).states, "that somebody is out of sight")
            assert me in view(one).users

        await owner.client.chat("where are you?")
        await walker.hears(ChatMessage)

        async with asyncio.timeout(PATIENCE):
            while me not in view(owner).states:  # the way back takes its time: what is too fast is not taken
                await walker.client.move(120, 0, 20)
                await asyncio.sleep(0.1)
        for one in (owner, last):
            await one.until(lambda o: me in view(o).states, "that somebody is back")
        await walker.until(lambda w: len(view(w).states) == everybody, "everybody again")
