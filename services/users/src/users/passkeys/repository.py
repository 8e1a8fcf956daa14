"""All SQL on passkeys and challenges."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from chassis.database import new_id
from chassis.database.unit import Unit
from users.passkeys.models import (
    CHALLENGE_FOR,
    Assertion,
    NewCredential,
    Passkey,
    PasskeyChallenge,
)


class PasskeyRepository:
    """The passkeys of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def of_user(self, user_id: UUID) -> Sequence[Passkey]:
        """Return the passkeys of an account, the oldest first."""
        statement = (
            select(Passkey)
            .where(Passkey.user_id == user_id)
            .order_by(Passkey.created_at, Passkey.id)
        )
        return (await self._unit.session.scalars(statement)).all()

    async def each_of(self, user_id: UUID) -> AsyncIterator[Passkey]:
        """Yield all passkeys of an account, oldest first."""
        for passkey in await self.of_user(user_id):
            yield passkey

    async def add(
        self, user_id: UUID, new: NewCredential, *, name: str, transports: Sequence[str]
    ) -> Passkey | None:
        """Insert and return a passkey. Return None if its credential is registered already."""
        statement = (
            insert(Passkey)
            .values(
                id=new_id(),
                user_id=user_id,
                credential_id=new.credential_id,
                public_key=new.public_key,
                sign_count=new.sign_count,
                backup_eligible=new.backup_eligible,
                backed_up=new.backed_up,
                transports=list(transports),
                name=name,
            )
            .on_conflict_do_nothing(index_elements=[Passkey.credential_id])
            .returning(Passkey)
        )
        added: Passkey | None = await self._unit.session.scalar(statement)
        return added

    async def owner_of(self, credential_id: bytes) -> UUID | None:
        """Return the account of a credential, or None."""
        return await self._unit.session.scalar(
            select(Passkey.user_id).where(Passkey.credential_id == credential_id)
        )

    async def lock(self, credential_id: bytes) -> Passkey | None:
        """Lock and return the passkey of a credential, or None."""
        statement = select(Passkey).where(Passkey.credential_id == credential_id)
        return await self._unit.session.scalar(statement.with_for_update())

    async def mark_used(self, passkey: Passkey, assertion: Assertion) -> None:
        """Record a log-in with a locked passkey."""
        await self._unit.session.execute(
            update(Passkey)
            .where(Passkey.id == passkey.id)
            .values(
                sign_count=assertion.sign_count,
                backed_up=assertion.backed_up,
                last_used_at=func.now(),
            )
            .execution_options(synchronize_session=False)
        )

    async def rename(self, passkey_id: UUID, *, user_id: UUID, name: str | None) -> Passkey | None:
        """Change the name of an account's passkey unless it is None, and return the passkey.

        Returns None if there is none.
        """
        statement = (
            update(Passkey)
            .where(Passkey.id == passkey_id, Passkey.user_id == user_id)
            .values(name=func.coalesce(name, Passkey.name))
            .returning(Passkey)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return (await self._unit.session.scalars(statement)).one_or_none()

    async def delete(self, passkey_id: UUID, *, user_id: UUID) -> bool:
        """Delete an account's passkey. Return whether there was one."""
        statement = (
            delete(Passkey)
            .where(Passkey.id == passkey_id, Passkey.user_id == user_id)
            .returning(Passkey.id)
        )
        return await self._unit.session.scalar(statement) is not None

    async def delete_all(self, user_id: UUID) -> int:
        """Delete all passkeys of an account, and return how many."""
        statement = delete(Passkey).where(Passkey.user_id == user_id).returning(Passkey.id)
        return len((await self._unit.session.scalars(statement)).all())


class ChallengeRepository:
    """The challenges of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def add(self, challenge: bytes, *, user_id: UUID | None) -> None:
        """Insert a challenge that can be used once, within CHALLENGE_FOR.

        Args:
            challenge: the random bytes.
            user_id: the account that a passkey is added to; None for a log-in.
        """
        await self._unit.session.execute(
            insert(PasskeyChallenge).values(
                challenge=challenge,
                user_id=user_id,
                expires_at=func.now() + CHALLENGE_FOR,
            )
        )

    async def take(self, challenge: bytes, *, user_id: UUID | None) -> bool:
        """Delete a challenge, and return whether it could be used for this account or log-in."""
        statement = (
            delete(PasskeyChallenge)
            .where(
                PasskeyChallenge.challenge == challenge,
                PasskeyChallenge.user_id.is_not_distinct_from(user_id),
                PasskeyChallenge.expires_at > func.now(),
            )
            .returning(PasskeyChallenge.challenge)
        )
        return await self._unit.session.scalar(statement) is not None

    async def delete_expired(self, *, limit: int) -> int:
        """Delete expired challenges, at most `limit`, and return how many."""
        expired = (
            select(PasskeyChallenge.challenge)
            .where(PasskeyChallenge.expires_at < func.now())
            .order_by(PasskeyChallenge.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        deleted = await self._unit.session.scalars(
            delete(PasskeyChallenge)
            .where(PasskeyChallenge.challenge.in_(expired))
            .returning(PasskeyChallenge.challenge)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())
