"""Accounts in MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError
from worldmesh_kit import Document, Mongo

from worldmesh_identity.domain.model import Account, Kind, name_key
from worldmesh_identity.ports import DeviceKnownError, EmailTakenError, UsernameTakenError

_UNIQUE = ("email_key", "device_hash", "bot_token_hash")


class MongoAccounts:
    """One document an account."""

    def __init__(self, mongo: Mongo) -> None:
        self._accounts = mongo.collection("accounts")

    async def ensure_indexes(self) -> None:
        """Uniqueness is the database's to keep."""
        # MongoDB takes such an index only for a query of which it can tell that the filter holds for all that it finds:
        # for one of equality it can of $gte, not of $type.
        unique = [
            IndexModel(
                [(name, ASCENDING)], unique=True, partialFilterExpression={name: {"$gte": ""}}, name=f"{name}_known"
            )
            for name in _UNIQUE
        ]
        await self._accounts.create_indexes(
            [
                IndexModel([("username_key", ASCENDING)], unique=True),
                IndexModel([("owner_id", ASCENDING), ("_id", ASCENDING)]),
                *unique,
            ]
        )

    async def add(self, account: Account) -> None:
        """Keep a new account."""
        try:
            await self._accounts.insert_one(_document(account))
        except DuplicateKeyError as error:
            raise _taken(error) from None

    async def get(self, user_id: str) -> Account | None:
        """By id."""
        return await self._one({"_id": user_id})

    async def by_email(self, email_key: str) -> Account | None:
        """By e-mail."""
        return await self._one({"email_key": email_key})

    async def by_device(self, device_hash: str) -> Account | None:
        """By the hash of the device's secret."""
        return await self._one({"device_hash": device_hash})

    async def by_bot_token(self, bot_token_hash: str) -> Account | None:
        """By the hash of a bot token."""
        return await self._one({"bot_token_hash": bot_token_hash})

    async def _one(self, query: Mapping[str, str]) -> Account | None:
        document = await self._accounts.find_one(query)
        return _account(document) if document else None

    async def rename(self, user_id: str, username: str) -> Account | None:
        """Change the username."""
        change = {"username": username, "username_key": name_key(username)}
        try:
            return await self._update({"_id": user_id}, change)
        except DuplicateKeyError as error:
            raise _taken(error) from None

    async def _update(self, query: Mapping[str, str], change: Mapping[str, str]) -> Account | None:
        document = await self._accounts.find_one_and_update(
            query, {"$set": change}, return_document=ReturnDocument.AFTER
        )
        return _account(document) if document else None

    async def bot_signed_in(self, bot_token_hash: str, now: datetime) -> bool:
        """Note a bot's newest sign-in."""
        result = await self._accounts.update_one({"bot_token_hash": bot_token_hash}, {"$max": {"sign_in_time": now}})
        return result.matched_count == 1

    async def set_bot_token(self, bot_id: str, owner_id: str, token_hash: str, prefix: str) -> Account | None:
        """Replace a bot's token."""
        query = {"_id": bot_id, "owner_id": owner_id}
        return await self._update(query, {"bot_token_hash": token_hash, "bot_token_prefix": prefix})

    async def count_bots(self, owner_id: str) -> int:
        """How many bots an account owns."""
        return await self._accounts.count_documents({"owner_id": owner_id})

    async def list_bots(self, owner_id: str, after: str, limit: int) -> Sequence[Account]:
        """Bots in order of their ids, which is the order in which they were made."""
        cursor = self._accounts.find({"owner_id": owner_id, "_id": {"$gt": after}})
        return [_account(d) async for d in cursor.sort([("_id", ASCENDING)]).limit(limit)]

    async def delete_bot(self, bot_id: str, owner_id: str) -> bool:
        """Delete a bot."""
        result = await self._accounts.delete_one({"_id": bot_id, "owner_id": owner_id})
        return result.deleted_count > 0


def _taken(error: DuplicateKeyError) -> Exception:
    pattern = (error.details or {}).get("keyPattern", {})
    if "email_key" in pattern:
        return EmailTakenError()
    if "device_hash" in pattern:
        return DeviceKnownError()
    if "username_key" in pattern:
        return UsernameTakenError()
    return error


def _document(account: Account) -> Document:
    return {
        "_id": account.user_id,
        "kind": account.kind.value,
        "username": account.username,
        "username_key": name_key(account.username),
        "create_time": account.create_time,
        "scopes": sorted(account.scopes),
        "email_key": account.email_key,
        "password_hash": account.password_hash,
        "device_hash": account.device_hash,
        "owner_id": account.owner_id,
        "bot_token_hash": account.bot_token_hash,
        "bot_token_prefix": account.bot_token_prefix,
        "sign_in_time": account.sign_in_time,
    }


def _account(document: Document) -> Account:
    return Account(
        user_id=document["_id"],
        kind=Kind(document["kind"]),
        username=document["username"],
        create_time=document["create_time"],
        scopes=frozenset(document["scopes"]),
        email_key=document["email_key"],
        password_hash=document["password_hash"],
        device_hash=document["device_hash"],
        owner_id=document["owner_id"],
        bot_token_hash=document["bot_token_hash"],
        bot_token_prefix=document["bot_token_prefix"],
        sign_in_time=document["sign_in_time"],
    )
