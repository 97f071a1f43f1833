"""The era of room ownership in MongoDB."""

from __future__ import annotations

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from worldmesh_kit import Mongo

_ID = "rooms"


class MongoEras:
    """One document with one number, which only grows. Writes wait for a majority, as the connection has it."""

    def __init__(self, mongo: Mongo) -> None:
        self._eras = mongo.collection("eras")

    async def advance(self, after: int) -> int:
        """Move on from an era, unless somebody has already; the present era."""
        try:
            document = await self._eras.find_one_and_update(
                {"_id": _ID, "era": {"$lte": after}},
                {"$set": {"era": after + 1}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # there is one, and it is a later one
            document = await self._eras.find_one({"_id": _ID})
        if document is None:
            raise LookupError("the era has vanished from the database")
        return int(document["era"])
