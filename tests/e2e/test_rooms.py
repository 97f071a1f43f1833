"""People in rooms, over the whole path: sockets, both dialects, two gateways, Envoy, two relays."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from worldmesh_client import (
    ChatMessage,
    Correction,
    DialectName,
    EmoteMessage,
    MemberJoined,
    MemberLeft,
    RoomEvent,
    RoomLeft,
    StateBatch,
    Vec3,
    WhisperMessage,
    WorldmeshClient,
)

from .people import PATIENCE, Person, Places, gather, new_room, people, person

MESSAGES = 10
STEPS = 30


async def walk_and_talk(one: Person, number: int) -> None:
    """Walks a line at half the allowed speed and says numbered things on the way."""
    for step in range(STEPS):
        await one.client.move(*path(one, number, step))
        if step % (STEPS // MESSAGES) == 0:
            await one.client.chat(f"{one.name} {step}", client_message_id=f"m{step}")
        await asyncio.sleep(0.05)  # the pace of walking, nothing is waited for


def path(one: Person, number: int, step: int) -> tuple[float, float, float]:
    """Where somebody is at a step: along x, each on a line of their own, in quarters of a metre."""
    here = next(m for m in one.snapshot.members if m.state.entity == one.snapshot.self_entity).state.position
    return here.x + step * 0.125, here.y, here.z + number * 0.015625


async def test_twenty_people_in_two_rooms_hear_all_of_their_room_and_nothing_else(places: Places) -> None:
    async with people(places, 20) as everybody:
        rooms = [everybody[0::4] + everybody[1::4], everybody[2::4] + everybody[3::4]]
        for members in rooms:
            await gather(members, await new_room(members[0]))
        walkers = (walk_and_talk(one, i) for i, one in enumerate(everybody))
        await asyncio.gather(*walkers)
        for members in rooms:
            await all_heard(members)
        for members in rooms:
            check_room(members)


async def all_heard(members: list[Person]) -> None:
    count = MESSAGES * len(members)
    for one in members:
        await one.until(lambda me: len(me.bodies(ChatMessage)) >= count, f"{count} messages")
        await one.until(lambda me: sees_all(me, members), "where everybody ended up")


def sees_all(one: Person, members: list[Person]) -> bool:
    """Whether the newest state of each other member has come."""
    others = (other for other in members if other is not one)
    return all(near(one.where.get(other.snapshot.self_entity), last_step(other)) for other in others)


def last_step(other: Person) -> float:
    return path(other, 0, STEPS - 1)[0]


def near(position: Vec3 | None, x: float) -> bool:
    return position is not None and abs(position.x - x) < 0.01


def check_room(members: list[Person]) -> None:
    said = {f"{one.name} {step}" for one in members for step in range(0, STEPS, STEPS // MESSAGES)}
    reference = members[0].events()
    for one in members:
        events = one.events()
        numbers = [event.seq for event in events]
        assert numbers == list(range(one.snapshot.seq + 1, numbers[-1] + 1)), f"{one.name}: a gap, a repeat or disorder"
        assert {event.epoch for event in events} == {one.snapshot.epoch}
        texts = [chat.text for chat in one.bodies(ChatMessage)]
        assert sorted(texts) == sorted(said), f"{one.name} heard something twice, not at all, or of another room"
        assert chats(events) == chats(reference), "two members heard the same room in another order"
        for speaker in members:
            steps = [int(text.split()[1]) for text in texts if text.split()[0] == speaker.name]
            assert steps == sorted(steps), "what one says is heard in the order in which it was said"


def chats(events: list[RoomEvent]) -> list[tuple[int, str, str]]:
    return [
        (event.seq, event.body.sender.user_id, event.body.text)
        for event in events
        if isinstance(event.body, ChatMessage)
    ]


async def test_a_whisper_is_heard_by_two_only(places: Places) -> None:
    async with people(places, 4) as everybody:
        ann, bo, cem, dee = everybody
        await gather(everybody, await new_room(ann))
        await ann.client.whisper(dee.user_id, "psst", client_message_id="w1")
        for one in (ann, dee):
            [whisper] = await one.hears(WhisperMessage)
            assert (whisper.sender.user_id, whisper.target_user_id, whisper.text) == (ann.user_id, dee.user_id, "psst")
        await ann.client.chat("after")
        for one in everybody:
            await one.hears(ChatMessage)  # the ordered channel has passed the whisper
        assert not bo.bodies(WhisperMessage)
        assert not cem.bodies(WhisperMessage)
        for one in everybody:
            seqs = [e.seq for e in one.events() if not isinstance(e.body, WhisperMessage)]
            assert all(b == a + 1 for a, b in pairwise(seqs)), "a whisper left a gap in the numbers of others"


async def test_an_emote_is_seen_by_all(places: Places) -> None:
    async with people(places, 4) as everybody:
        await gather(everybody, await new_room(everybody[0]))
        await everybody[1].client.emote("wave", target_user_id=everybody[2].user_id)
        for one in everybody:
            [emote] = await one.hears(EmoteMessage)
            assert (emote.sender.user_id, emote.emote_id) == (everybody[1].user_id, "wave")
            assert emote.target_user_id == everybody[2].user_id


async def test_who_enters_gets_the_room_as_it_is_and_others_see_them_come_and_go(places: Places) -> None:
    async with person(places) as ann, person(places, 1, "json") as bo:
        room = await new_room(ann)
        await ann.join(room)
        x, y, z = path(ann, 0, 8)
        await ann.client.move(x, y, z, yaw=16384, animation=3, values=b"\x01\xff")
        await ann.until(lambda me: near(me.where.get(me.snapshot.self_entity), x), "its own step")

        snapshot = await bo.join(room)
        members = {m.user.user_id: m for m in snapshot.members}
        assert set(members) == {ann.user_id, bo.user_id}
        assert members[bo.user_id].state.entity == snapshot.self_entity
        seen = members[ann.user_id]
        assert (seen.state.position, seen.state.yaw, seen.state.animation) == (Vec3(x, y, z), 16384, 3)
        assert seen.values == b"\x01\xff"
        assert (snapshot.room_id, snapshot.tick_hz > 0, snapshot.max_speed > 0) == (room, True, True)

        [joined] = await ann.hears(MemberJoined)
        assert joined.member.user.user_id == bo.user_id
        await bo.client.leave()
        [left] = await ann.hears(MemberLeft)
        assert (left.user_id, left.entity) == (bo.user_id, snapshot.self_entity)
        again = await bo.join(room)
        assert again.seq > snapshot.seq


async def test_a_socket_that_ends_takes_its_member_out(places: Places) -> None:
    async with person(places) as ann:
        room = await new_room(ann)
        await ann.join(room)
        async with person(places, 1) as bo:
            await bo.join(room)
            await ann.hears(MemberJoined)
        [left] = await ann.hears(MemberLeft)
        assert left.user_id == bo.user_id


async def test_a_message_that_is_repeated_is_answered_but_not_delivered_twice(places: Places) -> None:
    async with person(places) as ann, person(places, 1, "json") as bo:
        room = await new_room(ann)
        await gather([ann, bo], room)
        for _ in range(3):
            await ann.client.chat("once", client_message_id="same")
        await ann.client.chat("end", client_message_id="other")
        for one in (ann, bo):
            await one.until(lambda me: any(chat.text == "end" for chat in me.bodies(ChatMessage)), "the end")
            assert [chat.text for chat in one.bodies(ChatMessage)] == ["once", "end"]


async def test_the_same_user_entering_again_takes_the_place_of_the_older_socket(places: Places) -> None:
    device = "a-device-of-a-test-" + "x" * 12
    first = await WorldmeshClient.guest(places.rest, device, places.options(0))
    second = await WorldmeshClient.guest(places.rest, device, places.options(1, "json"))
    async with first, second:
        old, new = Person(first), Person(second)
        room = await new_room(old)
        await old.join(room)
        snapshot = await new.join(room)
        assert [m.user.user_id for m in snapshot.members] == [old.user_id]
        assert await old.hears(RoomLeft) == [RoomLeft(room, "MEMBER_REPLACED")]
        await old.close()
        await new.close()


async def test_a_step_that_is_too_long_is_corrected(places: Places) -> None:
    async with person(places) as ann:
        await ann.join(await new_room(ann))
        x, y, z = path(ann, 0, 0)
        await ann.client.move(x + 15, y, z)
        [correction] = await ann.hears(Correction)
        assert correction.state.entity == ann.snapshot.self_entity
        assert correction.state.position.x < x + 15


async def test_state_comes_once_a_tick_at_most(places: Places) -> None:
    """Twenty steps within a tick or two are one or two batches, and the last step is in the last of them."""
    async with person(places) as ann, person(places, 1) as bo:
        await gather([ann, bo], await new_room(ann))
        before = len(bo.bodies(StateBatch))
        for step in range(20):
            await ann.client.move(*path(ann, 0, 0)[:2], path(ann, 0, 0)[2] + step * 0.01)
        z = path(ann, 0, 0)[2] + 19 * 0.01
        entity = ann.snapshot.self_entity
        await bo.until(lambda me: abs(me.where.get(entity, Vec3(z=99)).z - z) < 1e-4, "the last step")
        assert len(bo.bodies(StateBatch)) - before < 20


@pytest.mark.parametrize("dialect", ["flatbuffers", "json"])
async def test_the_edge_passes_sockets_through_for_those_who_want_one_address(
    places: Places, dialect: DialectName
) -> None:
    from worldmesh_client import Options

    options = Options(dialect=dialect, ca=places.ca, timeout=PATIENCE)
    async with await WorldmeshClient.guest(places.edge, options=options) as client:
        ann = Person(client)
        await ann.join(await new_room(ann))
        await client.chat("through the edge")
        [chat] = await ann.hears(ChatMessage)
        assert chat.text == "through the edge"
        await ann.close()
