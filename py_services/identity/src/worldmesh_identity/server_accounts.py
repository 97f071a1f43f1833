"""Accounts for servers of the studio: made from a shell, not by an RPC."""

from __future__ import annotations

import protovalidate
from worldmesh.identity.v1 import identity_service_pb2 as pb
from worldmesh_kit import DomainError, connect_mongo

from .adapters.mongo_accounts import MongoAccounts
from .adapters.mongo_sessions import MongoSessions
from .config import Settings
from .domain.bots import Bots
from .domain.model import SERVER_SCOPES

_RULE = "a name is 3 to 24 letters, digits, '_', '.' and '-', and begins with a letter or digit"


async def create_server_account(settings: Settings, name: str) -> None:
    """Make the account and print its bot token. A name that is none, or is taken, is one line and exit status 1."""
    # No RPC, and so no kit, that would check the contract's bounds.
    if protovalidate.Validator().collect_violations(pb.CreateBotRequest(username=name)):
        raise SystemExit(f"error: NAME={name!r}: {_RULE}")
    async with connect_mongo(settings.mongo_uri, settings.database, settings.mongo_driver) as mongo:
        bots = Bots(MongoAccounts(mongo), MongoSessions(mongo), settings.clock, settings.identity_bots)
        try:
            _, token = await bots.create(None, name, SERVER_SCOPES)
        except DomainError as error:
            raise SystemExit(f"error: NAME={name!r}: {error.message}") from None
        print(token)
