"""The seam to MongoDB: PyMongo's asynchronous client, or Motor, its predecessor with the same API.

Repositories see the Protocols here, which are what both have in common. Where they differ (sessions, change streams,
aggregation) `Mongo` has a method.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar, cast

from pymongo import AsyncMongoClient, IndexModel, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.results import DeleteResult, InsertOneResult, UpdateResult
from pymongo.write_concern import WriteConcern

from ._settings import MongoDriver

Document = dict[str, Any]
"""A BSON document: its values are whatever BSON can hold."""

Filter = Mapping[str, Any]
T = TypeVar("T")


class Cursor(Protocol):
    """Rows of a query."""

    def sort(self, keys: Sequence[tuple[str, int]], /) -> Cursor: ...
    def limit(self, limit: int, /) -> Cursor: ...
    def __aiter__(self) -> AsyncIterator[Document]: ...


class Collection(Protocol):
    """A collection, as far as both drivers agree."""

    def find(self, query: Filter, projection: Mapping[str, int] | None = None, /) -> Cursor: ...

    def find_one(
        self, query: Filter, projection: Mapping[str, int] | None = None, /, *, session: Session | None = None
    ) -> Awaitable[Document | None]: ...

    def insert_one(self, document: Document, /, *, session: Session | None = None) -> Awaitable[InsertOneResult]: ...

    def update_one(
        self,
        query: Filter,
        update: Mapping[str, Any],
        /,
        upsert: bool = False,
        *,
        session: Session | None = None,
    ) -> Awaitable[UpdateResult]: ...

    def update_many(
        self, query: Filter, update: Mapping[str, Any], /, *, session: Session | None = None
    ) -> Awaitable[UpdateResult]: ...

    def find_one_and_update(
        self,
        query: Filter,
        update: Mapping[str, Any],
        /,
        *,
        upsert: bool = False,
        return_document: bool = ReturnDocument.BEFORE,
        session: Session | None = None,
    ) -> Awaitable[Document | None]: ...

    def delete_one(self, query: Filter, /, *, session: Session | None = None) -> Awaitable[DeleteResult]: ...
    def delete_many(self, query: Filter, /, *, session: Session | None = None) -> Awaitable[DeleteResult]: ...
    def count_documents(self, query: Filter, /, *, limit: int = ...) -> Awaitable[int]: ...
    def create_indexes(self, indexes: Sequence[IndexModel], /) -> Awaitable[list[str]]: ...


Session = ClientSession
"""Passed from `Mongo.transaction` to collections; opaque to repositories."""


class Mongo:
    """A service's own database."""

    def __init__(self, client: Any, database: str) -> None:
        self._client = client
        self._database = client.get_database(
            database,
            write_concern=WriteConcern("majority", wtimeout=5_000),
            read_concern=ReadConcern("majority"),
        )

    def collection(self, name: str) -> Collection:
        """A collection of this service's database, with majority reads and writes."""
        return cast("Collection", self._database[name])

    async def transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run `work` in a transaction, with majority reads and writes; it runs again if MongoDB says that the conflict
        is transient."""
        session = await _resolve(self._client.start_session())
        concerns = {"read_concern": self._database.read_concern, "write_concern": self._database.write_concern}
        async with session:
            return cast("T", await session.with_transaction(work, **concerns))

    @asynccontextmanager
    async def watch(
        self, collection: str, pipeline: Sequence[Mapping[str, Any]]
    ) -> AsyncIterator[AsyncIterator[Document]]:
        """Changes of a collection from now on, over majority-committed writes."""
        stream = await _resolve(self._database[collection].watch(list(pipeline), full_document="updateLookup"))
        async with stream:
            yield stream

    async def ping(self) -> None:
        """Ask the server whether it is there."""
        await self._client.admin.command("ping")


async def _resolve(value: Any) -> Any:
    """PyMongo awaits where Motor does not, and the other way round."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def connect_mongo(uri: str, database: str, driver: MongoDriver = MongoDriver.PYMONGO) -> AsyncIterator[Mongo]:
    """Connect to a replica set and wait until it answers.

    Calls fail within five seconds if no primary is there. Writes and reads are retried once by the driver.
    """
    options: Document = {
        "serverSelectionTimeoutMS": 5_000,
        "connectTimeoutMS": 2_000,
        "tz_aware": True,
        "uuidRepresentation": "standard",
        "appname": database,
    }
    client: Any
    if driver is MongoDriver.MOTOR:
        from motor.motor_asyncio import AsyncIOMotorClient

        client = AsyncIOMotorClient(uri, **options)
    else:
        client = AsyncMongoClient(uri, **options)
    try:
        mongo = Mongo(client, database)
        await mongo.ping()
        yield mongo
    finally:
        await _resolve(client.close())
