"""All SQL on leaky buckets."""

import math
from datetime import timedelta

from sqlalchemy import and_, delete, func, select, true, update
from sqlalchemy.dialects.postgresql import insert

from chassis.database.unit import Unit
from users.throttling.models import Bucket, Rate


class BucketRepository:
    """The leaky buckets, within one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def fill(self, key: bytes, rate: Rate) -> bool | None:
        """Count one and return whether the bucket is known. Return None if it is full.

        One statement checks and counts under the row's lock. So parallel requests can't exceed the
        bucket's capacity.
        """
        filled = func.greatest(Bucket.empty_at, func.now()) + rate.step
        statement = (
            insert(Bucket)
            .values(key=key, empty_at=func.now() + rate.step, expires_at=func.now() + rate.step)
            .on_conflict_do_update(
                index_elements=[Bucket.key],
                set_={
                    "empty_at": filled,
                    "known": and_(Bucket.known, Bucket.expires_at > func.now()),
                    "expires_at": func.greatest(Bucket.expires_at, filled),
                    "updated_at": func.now(),
                },
                where=filled <= func.now() + rate.window,
            )
            .returning(Bucket.known)
        )
        known: bool | None = await self._unit.session.scalar(statement)
        return known

    async def wait(self, key: bytes, rate: Rate) -> int:
        """Return the whole seconds, at least 1, until a full bucket has room for one."""
        filled = func.greatest(Bucket.empty_at, func.now()) + rate.step
        statement = select(filled - rate.window - func.now()).where(Bucket.key == key)
        waiting: timedelta | None = await self._unit.session.scalar(statement)
        return max(1, math.ceil((rate.step if waiting is None else waiting).total_seconds()))

    async def take_back(self, key: bytes, rate: Rate) -> None:
        """Remove one from a bucket."""
        await self._unit.session.execute(
            update(Bucket)
            .where(Bucket.key == key)
            .values(empty_at=Bucket.empty_at - rate.step)
            .execution_options(synchronize_session=False)
        )

    async def make_known(self, key: bytes, *, lasting: timedelta) -> None:
        """Empty a bucket, and mark it as known for `lasting`."""
        known = {"empty_at": func.now(), "known": true(), "expires_at": func.now() + lasting}
        await self._unit.session.execute(
            insert(Bucket)
            .values(key=key, **known)
            .on_conflict_do_update(
                index_elements=[Bucket.key], set_={**known, "updated_at": func.now()}
            )
        )

    async def delete_expired(self, *, limit: int) -> int:
        """Delete expired buckets, at most `limit`, and return how many."""
        expired = (
            select(Bucket.key)
            .where(Bucket.expires_at < func.now())
            .order_by(Bucket.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        deleted = await self._unit.session.scalars(
            delete(Bucket)
            .where(Bucket.key.in_(expired))
            .returning(Bucket.key)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())
