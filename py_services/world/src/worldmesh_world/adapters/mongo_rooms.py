"""Rooms in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError
from worldmesh_kit import Document, Mongo

from worldmesh_world.domain.model import AccessPolicy, Position, Room, RoomSettings
from worldmesh_world.ports import MadeBy, RequestKnownError


class MongoRooms:
    """One document a room, with the request that made it."""

    def __init__(self, mongo: Mongo) -> None:
        self._rooms = mongo.collection("rooms")
        self._roles = mongo.collection("roles")

    async def ensure_indexes(self) -> None:
        """For lists, newest first; and one room a request."""
        newest = [("create_time", DESCENDING), ("_id", DESCENDING)]
        await self._rooms.create_indexes(
            [
                IndexModel([("access_policy", ASCENDING), *newest]),
                IndexModel([("owner_id", ASCENDING), *newest]),
                IndexModel([("access_policy", ASCENDING), ("name_key", ASCENDING)]),
                IndexModel([("owner_id", ASCENDING), ("request_id", ASCENDING)], unique=True),
            ]
        )

    async def add(self, room: Room, made_by: MadeBy) -> None:
        """Keep a new room."""
        document = _document(room) | {"request_id": made_by.request_id, "fingerprint": made_by.fingerprint}
        try:
            await self._rooms.insert_one(document)
        except DuplicateKeyError:
            raise RequestKnownError from None

    async def made_by(self, owner_id: str, request_id: str) -> tuple[Room, str] | None:
        """The room that a request made."""
        document = await self._rooms.find_one({"owner_id": owner_id, "request_id": request_id})
        return (_room(document), document["fingerprint"]) if document else None

    async def get(self, room_id: str) -> Room | None:
        """By id."""
        document = await self._rooms.find_one({"_id": room_id})
        return _room(document) if document else None

    async def replace(self, room: Room, etag: str) -> bool:
        """Store a change of the room as it was with that etag."""
        result = await self._rooms.update_one({"_id": room.room_id, "etag": etag}, {"$set": _document(room)})
        return result.matched_count == 1

    async def delete(self, room_id: str, etag: str) -> bool:
        """Delete the room as it was with that etag, then its roles: without the room they give nothing."""
        result = await self._rooms.delete_one({"_id": room_id, "etag": etag})
        if result.deleted_count == 0:
            return False
        await self._roles.delete_many({"room_id": room_id})
        return True

    async def count(self, owner_id: str) -> int:
        """How many rooms an account owns."""
        return await self._rooms.count_documents({"owner_id": owner_id})

    async def list(
        self, *, owner_id: str, public_only: bool, name_prefix: str, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[Room]:
        """Rooms, newest first."""
        query: Document = {}
        if owner_id:
            query["owner_id"] = owner_id
        if public_only:
            query["access_policy"] = AccessPolicy.PUBLIC.value
        if name_prefix:
            key = name_prefix.casefold()
            query["name_key"] = {"$gte": key, "$lt": key + "\U0010ffff"}
        if before is not None:
            time, room_id = before
            query["$or"] = [{"create_time": {"$lt": time}}, {"create_time": time, "_id": {"$lt": room_id}}]
        cursor = self._rooms.find(query).sort([("create_time", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        return [_room(document) async for document in cursor]


def _document(room: Room) -> Document:
    settings = room.settings
    spawn = settings.spawn
    return {
        "_id": room.room_id,
        "owner_id": room.owner_id,
        "display_name": room.display_name,
        "name_key": room.display_name.casefold(),
        "description": room.description,
        "access_policy": room.access_policy.value,
        "capacity": room.capacity,
        "settings": {
            "width": settings.width,
            "depth": settings.depth,
            "tick_hz": settings.tick_hz,
            "max_speed": settings.max_speed,
            "spawn": [spawn.x, spawn.y, spawn.z] if spawn else None,
        },
        "etag": room.etag,
        "create_time": room.create_time,
        "update_time": room.update_time,
    }


def _room(document: Document) -> Room:
    settings = document["settings"]
    spawn = settings["spawn"]
    return Room(
        room_id=document["_id"],
        owner_id=document["owner_id"],
        display_name=document["display_name"],
        description=document["description"],
        access_policy=AccessPolicy(document["access_policy"]),
        capacity=document["capacity"],
        settings=RoomSettings(
            width=settings["width"],
            depth=settings["depth"],
            tick_hz=settings["tick_hz"],
            max_speed=settings["max_speed"],
            spawn=Position(*spawn) if spawn else None,
        ),
        etag=document["etag"],
        create_time=document["create_time"],
        update_time=document["update_time"],
    )
