"""Sessions in MongoDB, and the stream of those that are revoked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from pymongo import ASCENDING, DESCENDING, IndexModel
from worldmesh_kit import Document, Mongo

from worldmesh_identity.domain.model import Session

_COLLECTION = "sessions"
_SPENT = 50
# A revoked session stays so long, for gateways that come late; longer than an access token lives.
_REMEMBER_REVOKED = timedelta(minutes=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MongoSessions:
    """One document a session; MongoDB removes those that have expired."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._sessions = mongo.collection(_COLLECTION)

    async def ensure_indexes(self) -> None:
        """For lists, for replays, and for the end of sessions."""
        await self._sessions.create_indexes(
            [
                IndexModel([("user_id", ASCENDING), ("create_time", DESCENDING), ("_id", DESCENDING)]),
                # Of $type MongoDB could not tell that it holds for all that a query by time finds.
                IndexModel(
                    [("revoke_time", ASCENDING)],
                    partialFilterExpression={"revoke_time": {"$gt": _EPOCH}},
                    name="given_revoke_time",
                ),
                IndexModel([("expire_time", ASCENDING)], expireAfterSeconds=0),
            ]
        )

    async def add(self, session: Session) -> None:
        """Keep a new session."""
        await self._sessions.insert_one(
            {
                "_id": session.session_id,
                "user_id": session.user_id,
                "device_name": session.device_name,
                "create_time": session.create_time,
                "refresh_time": session.refresh_time,
                "expire_time": session.expire_time,
                "refresh_hash": session.refresh_hash,
                "spent": [],
                "revoke_time": None,
            }
        )

    async def get(self, session_id: str) -> Session | None:
        """By id."""
        document = await self._sessions.find_one({"_id": session_id})
        return _session(document) if document else None

    async def rotate(
        self, session_id: str, spent_hash: str, new_hash: str, now: datetime, expire_time: datetime
    ) -> bool:
        """Replace the refresh token if the spent one is the newest: of two at once, one wins."""
        result = await self._sessions.update_one(
            {"_id": session_id, "refresh_hash": spent_hash, "revoke_time": None},
            {
                "$set": {"refresh_hash": new_hash, "refresh_time": now, "expire_time": expire_time},
                "$push": {"spent": {"$each": [spent_hash], "$slice": -_SPENT}},
            },
        )
        return result.modified_count == 1

    async def was_spent(self, session_id: str, refresh_hash: str) -> bool:
        """Whether the token was once the newest."""
        return await self._sessions.find_one({"_id": session_id, "spent": refresh_hash}) is not None

    async def revoke(self, session_id: str, now: datetime) -> None:
        """End a session."""
        await self._sessions.update_one({"_id": session_id, "revoke_time": None}, _revocation(now))

    async def revoke_all(self, user_id: str, now: datetime) -> None:
        """End all sessions of an account."""
        await self._sessions.update_many({"user_id": user_id, "revoke_time": None}, _revocation(now))

    async def list(
        self, user_id: str, before: tuple[datetime, str] | None, limit: int, now: datetime
    ) -> Sequence[Session]:
        """Sessions that can be refreshed, newest first."""
        query: Document = {"user_id": user_id, "revoke_time": None, "expire_time": {"$gt": now}}
        if before is not None:
            time, session_id = before
            query["$or"] = [{"create_time": {"$lt": time}}, {"create_time": time, "_id": {"$lt": session_id}}]
        cursor = self._sessions.find(query).sort([("create_time", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        return [_session(d) async for d in cursor]

    async def revocations(self, since: datetime) -> AsyncIterator[Session]:
        """Sessions that were revoked since then, and those that are from now on; some may come twice."""
        pipeline = [{"$match": {"updateDescription.updatedFields.revoke_time": {"$type": "date"}}}]
        async with self._mongo.watch(_COLLECTION, pipeline) as changes:
            async for document in self._sessions.find({"revoke_time": {"$gt": since}}):
                yield _session(document)
            async for change in changes:
                changed: Document | None = change.get("fullDocument")
                if changed is not None:
                    yield _session(changed)


def _revocation(now: datetime) -> Document:
    return {"$set": {"revoke_time": now, "expire_time": now + _REMEMBER_REVOKED}}


def _session(document: Document) -> Session:
    return Session(
        session_id=document["_id"],
        user_id=document["user_id"],
        device_name=document["device_name"],
        create_time=document["create_time"],
        refresh_time=document["refresh_time"],
        expire_time=document["expire_time"],
        refresh_hash=document["refresh_hash"],
        revoke_time=document["revoke_time"],
    )
