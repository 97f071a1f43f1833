"""Roles in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ASCENDING, IndexModel
from worldmesh_kit import Document, Mongo

from worldmesh_world.domain.model import Role, RoleGrant


class MongoRoles:
    """One document for each user with a role in a room."""

    def __init__(self, mongo: Mongo) -> None:
        self._roles = mongo.collection("roles")

    async def ensure_indexes(self) -> None:
        """One role a user and room, in order of users."""
        await self._roles.create_indexes([IndexModel([("room_id", ASCENDING), ("user_id", ASCENDING)], unique=True)])

    async def of(self, room_id: str, user_id: str) -> Role:
        """The role that a user was given."""
        document = await self._roles.find_one({"room_id": room_id, "user_id": user_id})
        return Role(document["role"]) if document else Role.NONE

    async def set(self, grant: RoleGrant) -> None:
        """Give a role in place of the one before."""
        await self._roles.update_one(
            {"room_id": grant.room_id, "user_id": grant.user_id},
            {
                "$set": {
                    "role": grant.role.value,
                    "granted_by": grant.granted_by,
                    "grant_time": grant.grant_time,
                }
            },
            True,
        )

    async def take(self, room_id: str, user_id: str) -> None:
        """Take a role away."""
        await self._roles.delete_one({"room_id": room_id, "user_id": user_id})

    async def list(self, room_id: str, after: str, limit: int) -> Sequence[RoleGrant]:
        """Grants in order of user ids."""
        cursor = self._roles.find({"room_id": room_id, "user_id": {"$gt": after}})
        return [_grant(d) async for d in cursor.sort([("user_id", ASCENDING)]).limit(limit)]


def _grant(document: Document) -> RoleGrant:
    return RoleGrant(
        room_id=document["room_id"],
        user_id=document["user_id"],
        role=Role(document["role"]),
        granted_by=document["granted_by"],
        grant_time=document["grant_time"],
    )
