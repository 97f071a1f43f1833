"""Bots and their tokens."""

from __future__ import annotations

from collections.abc import Sequence

from worldmesh_kit import Clock, new_id

from worldmesh_identity.ports import Accounts, Sessions, UsernameTakenError

from . import errors
from .model import CLIENT_SCOPES, Account, Kind
from .secrets import digest, new_bot_token


class Bots:
    """What an owner may do with its bots."""

    def __init__(self, accounts: Accounts, sessions: Sessions, clock: Clock, limit: int) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._clock = clock
        self._limit = limit

    async def create(
        self, owner_id: str | None, username: str, scopes: frozenset[str] = CLIENT_SCOPES
    ) -> tuple[Account, str]:
        """Make a bot; its token is returned here and never again. Without an owner the limit does not count."""
        if owner_id is not None and await self._accounts.count_bots(owner_id) >= self._limit:
            raise errors.bot_limit(self._limit)
        token, prefix = new_bot_token()
        bot = Account(
            user_id=new_id("usr"),
            kind=Kind.BOT,
            username=username,
            create_time=self._clock.now(),
            scopes=scopes,
            owner_id=owner_id,
            bot_token_hash=digest(token),
            bot_token_prefix=prefix,
        )
        try:
            await self._accounts.add(bot)
        except UsernameTakenError:
            raise errors.username_taken(username) from None
        return bot, token

    async def list(self, owner_id: str, after: str, limit: int) -> Sequence[Account]:
        """The owner's bots after an id, oldest first."""
        return await self._accounts.list_bots(owner_id, after, limit)

    async def rotate(self, owner_id: str, bot_id: str) -> tuple[Account, str]:
        """Replace a bot's token. The bot's sessions end."""
        token, prefix = new_bot_token()
        bot = await self._accounts.set_bot_token(bot_id, owner_id, digest(token), prefix)
        if bot is None:
            raise errors.bot_not_found()
        await self._sessions.revoke_all(bot_id, self._clock.now())
        return bot, token

    async def delete(self, owner_id: str, bot_id: str) -> None:
        """Delete a bot and end its sessions. Idempotent."""
        if await self._accounts.delete_bot(bot_id, owner_id):
            await self._sessions.revoke_all(bot_id, self._clock.now())
