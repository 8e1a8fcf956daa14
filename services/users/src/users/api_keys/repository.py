"""All SQL on API keys."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update

from chassis.database.unit import Unit
from chassis.paging import ListOrder, PageRequest, PageRows, TimePosition, each_page
from users.api_keys.models import ENDED_KEYS_KEPT, ApiKey

_NEWEST_FIRST = ListOrder(TimePosition, ApiKey.created_at, ApiKey.id, descending=True)


class RevokedKey(NamedTuple):
    """A key that has just been revoked, and when it was last exchanged for an access token."""

    id: UUID
    last_used_at: datetime | None


class ApiKeyRepository:
    """The API keys of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def add(self, key: ApiKey) -> ApiKey:
        """Insert a key, and return it."""
        statement = (
            insert(ApiKey)
            .values(
                id=key.id,
                user_id=key.user_id,
                name=key.name,
                prefix=key.prefix,
                key_hash=key.key_hash,
                scopes=key.scopes,
                expires_at=key.expires_at,
            )
            .returning(ApiKey)
        )
        return (await self._unit.session.scalars(statement)).one()

    async def count_valid(self, user_id: UUID) -> int:
        """Return how many keys of an account are neither expired nor revoked."""
        statement = select(func.count()).where(ApiKey.user_id == user_id, *_valid())
        return (await self._unit.session.scalars(statement)).one()

    async def find(self, key_id: UUID, *, user_id: UUID) -> ApiKey | None:
        """Return a key of an account, or None."""
        return await self._unit.session.scalar(
            select(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id)
        )

    async def page(
        self, user_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[ApiKey, TimePosition]:
        """Return a page of an account's keys, newest first."""
        keys = select(ApiKey).where(ApiKey.user_id == user_id)
        return await _NEWEST_FIRST.page(self._unit.session, keys, wanted)

    async def each_of(self, user_id: UUID) -> AsyncIterator[ApiKey]:
        """Yield all keys of an account, also those that ended, newest first."""
        async for page in each_page(lambda wanted: self.page(user_id, wanted)):
            for key in page:
                yield key

    async def use(self, key_hash: bytes) -> ApiKey | None:
        """Record the use of a valid key, and return the key; None if there is none.

        The row stays locked until the commit. So a revocation either comes first and this returns
        None, or waits and sees that the key was used.
        """
        statement = (
            update(ApiKey)
            .where(ApiKey.key_hash == key_hash, *_valid())
            .values(last_used_at=func.now())
            .returning(ApiKey)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return (await self._unit.session.scalars(statement)).one_or_none()

    async def revoke(self, user_id: UUID, *, key_id: UUID) -> Sequence[RevokedKey]:
        """Revoke a key of an account, and return it if it was valid."""
        return await self._revoke(ApiKey.user_id == user_id, ApiKey.id == key_id)

    async def revoke_beyond(
        self, user_id: UUID, *, scopes: Collection[str]
    ) -> Sequence[RevokedKey]:
        """Revoke the valid keys of an account with a scope that is not in `scopes`; return them."""
        within = ApiKey.scopes.contained_by(sorted(scopes))
        return await self._revoke(ApiKey.user_id == user_id, ~within)

    async def delete_ended(self, *, limit: int) -> int:
        """Delete keys that expired or were revoked more than ENDED_KEYS_KEPT ago.

        Returns:
            How many keys were deleted, `limit` at most.
        """
        since = func.now() - ENDED_KEYS_KEPT
        ended = (
            select(ApiKey.id)
            .where(or_(ApiKey.expires_at < since, ApiKey.revoked_at < since))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        deleted = await self._unit.session.scalars(
            delete(ApiKey)
            .where(ApiKey.id.in_(ended))
            .returning(ApiKey.id)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())

    async def _revoke(self, *which: ColumnElement[bool]) -> Sequence[RevokedKey]:
        statement = (
            update(ApiKey)
            .where(*which, *_valid())
            .values(revoked_at=func.now())
            .returning(ApiKey.id, ApiKey.last_used_at)
            .execution_options(synchronize_session=False)
        )
        rows = await self._unit.session.execute(statement)
        return [RevokedKey(*row) for row in rows.all()]


def _valid() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (ApiKey.revoked_at.is_(None), ApiKey.expires_at > func.now())
