"""The client's parts that need no socket."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from worldmesh_client import (
    Advice,
    ChatMessage,
    EntityState,
    EntityValues,
    Member,
    MemberJoined,
    MemberLeft,
    Missed,
    Reconnected,
    ReconnectPolicy,
    RoomEvent,
    RoomView,
    Roster,
    Snapshot,
    StateBatch,
    User,
    Vec3,
    advice,
)
from worldmesh_client._errors import from_status
from worldmesh_client._events import EventQueue


def chat(seq: int) -> RoomEvent:
    return RoomEvent(1, seq, 0, ChatMessage(User("usr_1", "ann"), "hi"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1000, Advice.NEVER),
        (1001, Advice.LATER),
        (1006, Advice.NOW),
        (1011, Advice.LATER),
        (1008, Advice.NEVER),
        (4000, Advice.NOW),
        (4099, Advice.NOW),
        (4100, Advice.LATER),
        (4199, Advice.LATER),
        (4200, Advice.NEW_TOKEN),
        (4299, Advice.NEW_TOKEN),
        (4300, Advice.NEVER),
        (4399, Advice.NEVER),
        (4999, Advice.NEVER),
    ],
)
def test_the_range_of_a_close_code_says_whether_to_come_back(code: int, expected: Advice) -> None:
    assert advice(code) is expected


def test_delays_double_up_to_a_bound_and_end_with_the_attempts() -> None:
    policy = ReconnectPolicy(attempts=4, first_delay=1.0, max_delay=3.0)
    delays = [policy.delay(4100, attempt) for attempt in range(5)]
    assert delays[4] is None
    for delay, bound in zip(delays[:4], [1.0, 2.0, 3.0, 3.0], strict=True):
        assert delay is not None
        assert bound / 2 <= delay <= bound


def test_coming_back_now_means_now_the_first_time_only() -> None:
    policy = ReconnectPolicy(first_delay=1.0)
    assert policy.delay(4000, 0) == 0.0
    assert policy.delay(4000, 1) != 0.0


def test_who_lost_its_connection_comes_back_soon_but_not_all_at_once() -> None:
    policy = ReconnectPolicy(first_delay=1.0)
    delays = [policy.delay(1006, 0) or 0.0 for _ in range(200)]
    assert all(0.0 <= delay < 1.0 for delay in delays)
    assert min(delays) < 0.25 < 0.75 < max(delays)
    again = policy.delay(1006, 1)
    assert again is not None
    assert again >= 1.0


async def test_a_state_batch_that_nobody_read_takes_in_the_next() -> None:
    queue = EventQueue(10)
    queue.put(StateBatch(1, (EntityState(1, Vec3(1)), EntityState(2)), (EntityValues(1, b"a"),)))
    queue.put(StateBatch(2, (EntityState(1, Vec3(9)),), (EntityValues(1, b"b"),)))
    assert await queue.get() == StateBatch(2, (EntityState(1, Vec3(9)), EntityState(2)), (EntityValues(1, b"b"),))


async def test_who_goes_out_of_sight_while_nobody_reads_is_gone_and_who_comes_back_is_not() -> None:
    queue = EventQueue(10)
    queue.put(StateBatch(1, (EntityState(1), EntityState(2)), (EntityValues(2, b"a"),), gone=(3,)))
    queue.put(StateBatch(2, (EntityState(3, Vec3(3)),), gone=(2, 4)))
    assert await queue.get() == StateBatch(2, (EntityState(1), EntityState(3, Vec3(3))), (), (3, 2, 4))


async def test_what_is_seen_anew_counts_alone() -> None:
    queue = EventQueue(10)
    queue.put(StateBatch(1, (EntityState(1), EntityState(2))))
    queue.put(StateBatch(2, (EntityState(1, Vec3(9)),), anew=True))
    queue.put(StateBatch(3, (EntityState(4),)))
    assert await queue.get() == StateBatch(3, (EntityState(1, Vec3(9)), EntityState(4)), anew=True)


def member(entity: int, name: str, x: float = 0.0) -> Member:
    return Member(User(f"usr_{name}", name), EntityState(entity, Vec3(x)))


def test_in_a_room_of_few_everybody_is_in_sight() -> None:
    room = RoomView()
    room.take(Snapshot("room_1", self_entity=1, members=(member(1, "ann"), member(2, "ben", 5.0))))
    assert room.states[2].position.x == 5.0
    room.take(RoomEvent(1, 2, 0, MemberJoined(member(3, "cy"))))
    assert (room.users[3].username, 3 in room.states) == ("cy", True)
    room.take(RoomEvent(1, 2, 0, MemberJoined(member(4, "di"), out_of_sight=True)))
    assert (room.users[4].username, 4 in room.states) == ("di", False)
    room.take(StateBatch(1, (EntityState(3, Vec3(7.0)),)))
    room.take(RoomEvent(1, 3, 0, MemberLeft(4, "usr_di")))
    room.take(RoomEvent(1, 3, 0, MemberLeft(2, "usr_ben")))
    assert (set(room.users), set(room.states)) == ({1, 3}, {1, 3})


def test_in_a_full_room_those_are_in_sight_of_whom_states_tell() -> None:
    room = RoomView()
    alone = Snapshot("room_1", self_entity=1, members=(member(1, "ann"),), view_radius=14.0)
    room.take(alone)
    room.take(StateBatch(1, (EntityState(2), EntityState(3)), (EntityValues(3, b"hat"),), anew=True))
    room.take(Roster((member(1, "ann"), member(2, "ben"), member(3, "cy")), last=True))
    assert (set(room.users), set(room.states), room.values) == ({1, 2, 3}, {1, 2, 3}, {3: b"hat"})
    room.take(StateBatch(2, (EntityState(1),), gone=(3,)))
    assert (set(room.states), room.values) == ({1, 2}, {})
    room.take(StateBatch(3, (EntityState(3),)))
    assert set(room.states) == {1, 2, 3}
    room.take(Reconnected(1006, dataclasses.replace(alone, resumed=True)))
    assert (set(room.users), set(room.states)) == ({1, 2, 3}, {1})
    room.take(Reconnected(1006, dataclasses.replace(alone, resumed=True, gap=True)))
    assert set(room.users) == {1}


async def test_state_does_not_overtake_an_ordered_event() -> None:
    queue = EventQueue(10)
    for event in (StateBatch(1), chat(1), StateBatch(2)):
        queue.put(event)
    assert [await queue.get() for _ in range(3)] == [StateBatch(1), chat(1), StateBatch(2)]


async def test_a_full_queue_drops_the_oldest_and_says_how_many() -> None:
    queue = EventQueue(3)
    for seq in range(10):
        queue.put(chat(seq))
    assert [await queue.get() for _ in range(4)] == [Missed(7), chat(7), chat(8), chat(9)]


async def test_a_closed_queue_gives_what_is_left_and_then_the_end() -> None:
    queue = EventQueue(3)
    queue.put(chat(1))
    queue.close()
    assert await queue.get() == chat(1)
    assert await queue.get() is None


async def test_a_reader_that_waits_hears_of_the_end() -> None:
    queue = EventQueue(3)
    reader = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await reader


def test_a_rest_error_carries_reason_delay_and_metadata() -> None:
    error = from_status(
        {
            "code": 8,
            "message": "slow down",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMITED", "domain": "worldmesh"},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1.5s"},
            ],
        }
    )
    assert (error.reason, error.code, error.retry_after) == ("RATE_LIMITED", 8, 1.5)
    assert str(error) == "RATE_LIMITED: slow down"
