"""The seam to MongoDB, on the real one, by both drivers."""

from __future__ import annotations

import asyncio

import pytest
from worldmesh_kit import Collection, Document, Mongo
from worldmesh_kit._mongo import Session


async def kept(collection: Collection) -> dict[str, int]:
    """All that is kept, by id."""
    return {document["_id"]: document["n"] async for document in collection.find({})}


async def test_what_a_transaction_writes_is_kept_whole(mongo: Mongo) -> None:
    purses, ledger = mongo.collection("purses"), mongo.collection("ledger")
    await purses.insert_one({"_id": "ann", "n": 5})

    async def pay(session: Session) -> str:
        await purses.update_one({"_id": "ann"}, {"$inc": {"n": -2}}, session=session)
        await ledger.insert_one({"_id": "entry", "n": 2}, session=session)
        return "paid"

    assert await mongo.transaction(pay) == "paid"
    assert (await kept(purses), await kept(ledger)) == ({"ann": 3}, {"entry": 2})


async def test_nothing_is_kept_of_a_transaction_that_fails(mongo: Mongo) -> None:
    purses = mongo.collection("purses")
    await purses.insert_one({"_id": "ann", "n": 5})

    async def fail(session: Session) -> None:
        await purses.update_one({"_id": "ann"}, {"$inc": {"n": -2}}, session=session)
        await purses.insert_one({"_id": "ben", "n": 2}, session=session)
        raise LookupError("there is no ben")

    with pytest.raises(LookupError):
        await mongo.transaction(fail)
    assert await kept(purses) == {"ann": 5}


async def test_a_transaction_sees_its_own_writes_and_others_do_not_before_its_end(mongo: Mongo) -> None:
    purses = mongo.collection("purses")
    await purses.insert_one({"_id": "ann", "n": 5})
    seen: list[Document | None] = []

    async def look(session: Session) -> None:
        await purses.update_one({"_id": "ann"}, {"$set": {"n": 6}}, session=session)
        seen.append(await purses.find_one({"_id": "ann"}, session=session))
        seen.append(await purses.find_one({"_id": "ann"}))

    await mongo.transaction(look)
    assert [document["n"] for document in seen if document] == [6, 5]


async def test_transactions_that_meet_run_again_so_that_none_is_lost(mongo: Mongo) -> None:
    purses = mongo.collection("purses")
    await purses.insert_one({"_id": "ann", "n": 0})
    runs, met = 0, asyncio.Barrier(2)

    async def add(session: Session) -> None:
        nonlocal runs
        runs += 1
        purse = await purses.find_one({"_id": "ann"}, session=session)
        assert purse is not None
        if runs <= 2:
            await met.wait()  # both have read before either writes
        await purses.update_one({"_id": "ann"}, {"$set": {"n": purse["n"] + 1}}, session=session)

    await asyncio.wait_for(asyncio.gather(mongo.transaction(add), mongo.transaction(add)), 30)
    assert await kept(purses) == {"ann": 2}
    assert runs >= 3


async def test_a_transaction_whose_caller_goes_away_keeps_nothing(mongo: Mongo) -> None:
    purses = mongo.collection("purses")
    await purses.insert_one({"_id": "ann", "n": 5})
    written = asyncio.Event()

    async def linger(session: Session) -> None:
        await purses.update_one({"_id": "ann"}, {"$inc": {"n": -2}}, session=session)
        written.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(mongo.transaction(linger))
    await asyncio.wait_for(written.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(purses.update_one({"_id": "ann"}, {"$inc": {"n": 1}}), 10)  # no lock is left behind
    assert await kept(purses) == {"ann": 6}
