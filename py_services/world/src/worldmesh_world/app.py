"""Builds world out of its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worldmesh.world.v1 import world_service_pb2_grpc as rpc
from worldmesh_kit import Kit, connect_mongo

from . import demo
from .adapters.follows import NoFollows
from .adapters.mongo_eras import MongoEras
from .adapters.mongo_roles import MongoRoles
from .adapters.mongo_rooms import MongoRooms
from .config import Settings
from .domain.world import World
from .servicer import WorldServicer


@asynccontextmanager
async def build(kit: Kit[Settings], settings: Settings) -> AsyncIterator[None]:
    """Open the stores, make the rules, register the servicer."""
    clock = settings.clock
    async with connect_mongo(settings.mongo_uri, settings.database, settings.mongo_driver) as mongo:
        rooms, roles = MongoRooms(mongo), MongoRoles(mongo)
        await rooms.ensure_indexes()
        await roles.ensure_indexes()
        if settings.demo:
            await demo.seed(rooms, clock)
        world = World(
            rooms=rooms,
            roles=roles,
            eras=MongoEras(mongo),
            follows=NoFollows(),
            clock=clock,
            limit=settings.world_rooms,
        )
        rpc.add_WorldServiceServicer_to_server(WorldServicer(world), kit.server)
        kit.serves("worldmesh.world.v1.WorldService")
        yield
