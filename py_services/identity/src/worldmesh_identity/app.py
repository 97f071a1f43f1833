"""Builds identity out of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from pymongo.errors import PyMongoError
from worldmesh.identity.v1 import identity_service_pb2_grpc as rpc
from worldmesh_kit import Clock, Kit, connect_mongo, get_logger

from .adapters.argon import ArgonPasswords
from .adapters.mongo_accounts import MongoAccounts
from .adapters.mongo_keys import MongoKeys, load_cipher
from .adapters.mongo_sessions import MongoSessions
from .config import Settings
from .domain.bots import Bots
from .domain.keys import KeyRing, Rotation
from .domain.signing_in import SigningIn
from .servicer import IdentityServicer

log = get_logger(__name__)

_KEY_REFRESH = 10.0


@asynccontextmanager
async def build(kit: Kit[Settings], settings: Settings) -> AsyncIterator[None]:
    """Open the stores, make the rules, register the servicer."""
    clock = settings.clock
    async with connect_mongo(settings.mongo_uri, settings.database, settings.mongo_driver) as mongo:
        accounts, sessions = MongoAccounts(mongo), MongoSessions(mongo)
        stored_keys = MongoKeys(mongo, load_cipher(settings.identity_key_file, settings.environment))
        for store in (accounts, sessions, stored_keys):
            await store.ensure_indexes()
        keys = KeyRing(stored_keys, rotation(settings))
        await keys.refresh(clock.now())
        passwords = ArgonPasswords()
        try:
            servicer = IdentityServicer(
                signing_in=SigningIn(
                    accounts=accounts,
                    sessions=sessions,
                    passwords=passwords,
                    keys=keys,
                    clock=clock,
                    access_life=settings.access_life,
                    refresh_life=settings.refresh_life,
                ),
                bots=Bots(accounts, sessions, clock, settings.identity_bots),
                keys=keys,
                sessions=sessions,
                clock=clock,
                replay=settings.access_life,
            )
            rpc.add_IdentityServiceServicer_to_server(servicer, kit.server)
            kit.serves("worldmesh.identity.v1.IdentityService")
            kit.background(_keep_keys(keys, clock))
            yield
        finally:
            passwords.close()


def rotation(settings: Settings) -> Rotation:
    """The times in a signing key's life."""
    return Rotation(
        signs=timedelta(hours=settings.identity_key_hours),
        lead=timedelta(seconds=settings.identity_key_lead_seconds),
        verifies=settings.access_life,
    )


async def _keep_keys(keys: KeyRing, clock: Clock) -> None:
    while True:
        await asyncio.sleep(_KEY_REFRESH)
        try:
            await keys.refresh(clock.now())
        except PyMongoError as error:
            log.warning("refresh of the signing keys failed; those before stay in use", error=str(error))
