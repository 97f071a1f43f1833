"""Prints an access token that identity's own key has signed, as no client can get it. Run it with
`worldmesh_mesh run-as identity`.

Arguments: user id, session id, seconds until it expires (negative: it has expired).
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from worldmesh_identity.adapters.mongo_keys import MongoKeys, load_cipher
from worldmesh_identity.config import Settings
from worldmesh_identity.domain.access_tokens import sign
from worldmesh_identity.domain.model import Account, Kind, SigningKey
from worldmesh_kit import connect_mongo, load_settings


async def signing_key(settings: Settings, now: datetime) -> SigningKey:
    """The key that signs now."""
    async with connect_mongo(settings.mongo_uri, settings.database, settings.mongo_driver) as mongo:
        keys = MongoKeys(mongo, load_cipher(settings.identity_key_file, settings.environment))
        return next(key for key in await keys.all(now) if key.active_time <= now)


def main() -> None:
    """Prints the token."""
    user_id, session_id, seconds = sys.argv[1:]
    now = datetime.now(UTC)
    key = asyncio.run(signing_key(load_settings(Settings), now))
    account = Account(user_id=user_id, username="minted", kind=Kind.GUEST, create_time=now)
    life = timedelta(minutes=5)
    print(sign(account, session_id, key, now + timedelta(seconds=int(seconds)) - life, life))


if __name__ == "__main__":
    main()
