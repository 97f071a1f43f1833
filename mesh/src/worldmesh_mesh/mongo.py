"""Makes a fresh mongod a replica set of one."""

from __future__ import annotations

import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from .topology import HOST

_ALREADY = 23


def init_mongo(port: int, patience: float = 30.0) -> None:
    """Initiate the replica set if it is none, and wait until it takes writes."""
    limit = time.monotonic() + patience
    with MongoClient[dict[str, object]](
        HOST, port, directConnection=True, serverSelectionTimeoutMS=int(patience * 1000)
    ) as client:
        try:
            members = [{"_id": 0, "host": f"{HOST}:{port}"}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        except OperationFailure as error:
            if error.code != _ALREADY:
                raise
        while not _writable(client):
            if time.monotonic() > limit:
                raise TimeoutError(f"mongod on port {port} takes no writes")
            time.sleep(0.05)


def _writable(client: MongoClient[dict[str, object]]) -> bool:
    try:
        return bool(client.admin.command("hello").get("isWritablePrimary"))
    except PyMongoError:
        return False
