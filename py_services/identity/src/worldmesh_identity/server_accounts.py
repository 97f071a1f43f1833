"""Accounts for servers of the studio: made from a shell, not by an RPC."""

from __future__ import annotations

from worldmesh_kit import DomainError, SystemClock, connect_mongo

from .adapters.mongo_accounts import MongoAccounts
from .adapters.mongo_sessions import MongoSessions
from .config import Settings
from .domain.bots import Bots
from .domain.model import SERVER_SCOPES


async def create_server_account(settings: Settings, name: str) -> None:
    """Make the account and print its bot token."""
    async with connect_mongo(settings.mongo_uri, settings.database, settings.mongo_driver) as mongo:
        bots = Bots(MongoAccounts(mongo), MongoSessions(mongo), SystemClock(), settings.identity_bots)
        try:
            _, token = await bots.create(None, name, SERVER_SCOPES)
        except DomainError as error:
            raise SystemExit(str(error)) from None
        print(token)
