"""All SQL on one-time tokens."""

from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, insert, select

from chassis.database.unit import Unit
from users.one_time_tokens.models import OneTimeToken, Purpose


class OneTimeTokenRepository:
    """The one-time tokens of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def add(self, token: OneTimeToken, *, lifetime: timedelta) -> datetime:
        """Insert a token, and return when it expires, by PostgreSQL's clock."""
        statement = (
            insert(OneTimeToken)
            .values(
                token_hash=token.token_hash,
                user_id=token.user_id,
                purpose=token.purpose,
                account_state=token.account_state,
                new_email=token.new_email,
                expires_at=func.now() + lifetime,
            )
            .returning(OneTimeToken.expires_at)
        )
        return (await self._unit.session.scalars(statement)).one()

    async def find(self, token_hash: bytes, purposes: Collection[Purpose]) -> OneTimeToken | None:
        """Return a token that has not expired, or None. It is not locked."""
        return await self._unit.session.scalar(
            select(OneTimeToken).where(
                OneTimeToken.token_hash == token_hash,
                OneTimeToken.purpose.in_(purposes),
                OneTimeToken.expires_at > func.now(),
            )
        )

    async def each_of(self, user_id: UUID) -> AsyncIterator[OneTimeToken]:
        """Yield the tokens of an account, oldest first. The throttle of mails bounds them."""
        statement = (
            select(OneTimeToken)
            .where(OneTimeToken.user_id == user_id)
            .order_by(OneTimeToken.created_at)
        )
        for token in await self._unit.session.scalars(statement):
            yield token

    async def take(self, token_hash: bytes) -> bool:
        """Delete a token, and return whether this transaction did: only one can."""
        statement = (
            delete(OneTimeToken)
            .where(OneTimeToken.token_hash == token_hash)
            .returning(OneTimeToken.token_hash)
            .execution_options(synchronize_session=False)
        )
        return await self._unit.session.scalar(statement) is not None

    async def delete_all(self, user_id: UUID, purpose: Purpose) -> int:
        """Delete all tokens of an account for one purpose, and return how many.

        The account must be locked, or the session that may have asked for one of them.
        """
        deleted = await self._unit.session.scalars(
            delete(OneTimeToken)
            .where(OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose)
            .returning(OneTimeToken.token_hash)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())

    async def delete_expired(self, *, limit: int) -> int:
        """Delete expired tokens, at most `limit`, and return how many."""
        expired = (
            select(OneTimeToken.token_hash)
            .where(OneTimeToken.expires_at <= func.now())
            .order_by(OneTimeToken.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        deleted = await self._unit.session.scalars(
            delete(OneTimeToken)
            .where(OneTimeToken.token_hash.in_(expired))
            .returning(OneTimeToken.token_hash)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())
