"""Signing keys in MongoDB; their private halves are encrypted."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.fernet import Fernet
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError
from worldmesh_kit import Document, Environment, Mongo, SettingsError

from worldmesh_identity.domain.model import SigningKey


def load_cipher(path: Path, environment: Environment) -> Fernet:
    """Read the key that encrypts keys. In development a missing one is made; in production it is an error."""
    if not path.exists():
        if environment is Environment.PRODUCTION:
            raise SettingsError(f"settings: WORLDMESH_IDENTITY_KEY_FILE: there is no {path}")
        _make_key(path)
    return Fernet(path.read_bytes())


def _make_key(path: Path) -> None:
    """Make the file, whole at once: an instance that starts at the same moment reads this key or makes its own."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name) as file:  # nobody else may read it
        file.write(Fernet.generate_key())
        file.flush()
        with contextlib.suppress(FileExistsError):  # the other instance was faster
            os.link(file.name, path)


class MongoKeys:
    """One document a key; MongoDB removes those that nothing needs any more."""

    def __init__(self, mongo: Mongo, cipher: Fernet) -> None:
        self._keys = mongo.collection("signing_keys")
        self._cipher = cipher

    async def ensure_indexes(self) -> None:
        """One key a generation, so that two instances do not make two."""
        await self._keys.create_indexes(
            [
                IndexModel([("generation", ASCENDING)], unique=True),
                IndexModel([("expire_time", ASCENDING)], expireAfterSeconds=0),
            ]
        )

    async def all(self, now: datetime) -> Sequence[SigningKey]:
        """Keys that may verify something, newest first."""
        cursor = self._keys.find({"expire_time": {"$gt": now}}).sort([("generation", DESCENDING)])
        return [self._key(d) async for d in cursor]

    async def add(self, key: SigningKey, expire_time: datetime) -> bool:
        """Keep a new key, as the generation after the newest; False if another instance has done so."""
        generation = 1
        async for newest in self._keys.find({}).sort([("generation", DESCENDING)]).limit(1):
            generation = newest["generation"] + 1
            if newest["active_time"] >= key.active_time:
                return False
        try:
            await self._keys.insert_one(
                {
                    "_id": key.kid,
                    "generation": generation,
                    "private": self._cipher.encrypt(key.private),
                    "public": key.public,
                    "create_time": key.create_time,
                    "active_time": key.active_time,
                    "expire_time": expire_time,
                }
            )
        except DuplicateKeyError:
            return False
        return True

    def _key(self, document: Document) -> SigningKey:
        return SigningKey(
            kid=document["_id"],
            private=self._cipher.decrypt(document["private"]),
            public=document["public"],
            create_time=document["create_time"],
            active_time=document["active_time"],
        )
