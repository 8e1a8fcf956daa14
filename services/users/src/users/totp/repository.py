"""All SQL on TOTP."""

from collections.abc import AsyncIterator, Sequence
from enum import Enum, auto
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.database.unit import Unit
from users.totp.models import PENDING_FOR, Totp


class Removed(Enum):
    """What was removed: TOTP that was on, or a setup that was not confirmed."""

    ON = auto()
    PENDING = auto()


class TotpRepository:
    """The TOTP secrets of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def begin(self, user_id: UUID, *, secret: bytes) -> bool:
        """Store the secret of a setup for PENDING_FOR. It replaces a setup that is not confirmed.

        Returns:
            False if TOTP is on already; nothing is changed then.
        """
        until = func.now() + PENDING_FOR
        fresh = {"secret": secret, "sealed_at": func.now(), "pending_until": until}
        statement = (
            insert(Totp)
            .values(user_id=user_id, recovery_codes=[], **fresh)
            .on_conflict_do_update(
                index_elements=[Totp.user_id],
                set_={**fresh, "updated_at": func.now()},
                where=Totp.pending_until.is_not(None),
            )
            .returning(Totp.user_id)
        )
        return await self._unit.session.scalar(statement) is not None

    async def lock_pending(self, user_id: UUID) -> Totp | None:
        """Lock and return a setup that can be confirmed, or None."""
        statement = select(Totp).where(Totp.user_id == user_id, Totp.pending_until > func.now())
        return await self._unit.session.scalar(statement.with_for_update())

    async def confirm(self, user_id: UUID, *, step: int, recovery_codes: Sequence[bytes]) -> None:
        """Turn a locked setup on. The code of `step` confirmed it.

        Args:
            user_id: the account.
            step: the time step of the code.
            recovery_codes: the hashes of the recovery codes.
        """
        await self._unit.session.execute(
            update(Totp)
            .where(Totp.user_id == user_id)
            .values(pending_until=None, last_step=step, recovery_codes=list(recovery_codes))
            .execution_options(synchronize_session=False)
        )

    async def replace_recovery_codes(self, user_id: UUID, hashes: Sequence[bytes]) -> bool:
        """Replace the recovery codes of an account, and return whether its TOTP is on."""
        statement = (
            update(Totp)
            .where(Totp.user_id == user_id, Totp.pending_until.is_(None))
            .values(recovery_codes=list(hashes))
            .returning(Totp.user_id)
            .execution_options(synchronize_session=False)
        )
        return await self._unit.session.scalar(statement) is not None

    async def find(self, user_id: UUID) -> Totp | None:
        """Return the TOTP of an account, on or not, or None."""
        return await self._unit.session.scalar(select(Totp).where(Totp.user_id == user_id))

    async def each_of(self, user_id: UUID) -> AsyncIterator[Totp]:
        """Yield the authenticator app of an account: one or none."""
        totp = await self.find(user_id)
        if totp is not None:
            yield totp

    async def find_confirmed(self, user_id: UUID) -> Totp | None:
        """Return the TOTP of an account if it is on, else None."""
        return await self._unit.session.scalar(
            select(Totp)
            .where(Totp.user_id == user_id, Totp.pending_until.is_(None))
            .execution_options(populate_existing=True)
        )

    async def use_step(self, user_id: UUID, step: int, *, secret: bytes) -> bool:
        """Record that the code of a time step was accepted, and store the secret encrypted again.

        One statement checks and records under the row's lock. So of several log-ins with one code,
        in any number of processes, one succeeds.

        Returns:
            False if a code of this or a later step was accepted before.
        """
        statement = (
            update(Totp)
            .where(
                Totp.user_id == user_id,
                Totp.pending_until.is_(None),
                or_(Totp.last_step.is_(None), Totp.last_step < step),
            )
            .values(last_step=step, secret=secret, sealed_at=func.now())
            .returning(Totp.user_id)
            .execution_options(synchronize_session=False)
        )
        return await self._unit.session.scalar(statement) is not None

    async def use_recovery_code(self, user_id: UUID, code_hash: bytes) -> int | None:
        """Remove a recovery code, and return how many are left. None if there is no such code."""
        left = func.array_remove(Totp.recovery_codes, code_hash)
        statement = (
            update(Totp)
            .where(
                Totp.user_id == user_id,
                Totp.pending_until.is_(None),
                Totp.recovery_codes.contains([code_hash]),
            )
            .values(recovery_codes=left)
            .returning(func.cardinality(Totp.recovery_codes))
            .execution_options(synchronize_session=False)
        )
        remaining: int | None = await self._unit.session.scalar(statement)
        return remaining

    async def delete(self, user_id: UUID) -> Removed | None:
        """Delete the TOTP of an account, on or not. Return what there was; None if nothing."""
        is_on = Totp.pending_until.is_(None)
        statement = delete(Totp).where(Totp.user_id == user_id).returning(is_on)
        was_on = await self._unit.session.scalar(statement)
        if was_on is None:
            return None
        return Removed.ON if was_on else Removed.PENDING

    async def delete_expired(self, *, limit: int) -> int:
        """Delete setups that were not confirmed in time, at most `limit`, and return how many."""
        expired = (
            select(Totp.user_id)
            .where(Totp.pending_until < func.now())
            .order_by(Totp.pending_until)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        deleted = await self._unit.session.scalars(
            delete(Totp)
            .where(Totp.user_id.in_(expired))
            .returning(Totp.user_id)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())
