"""All SQL on recipients."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from chassis.database.unit import Unit
from notifications.recipients.models import Recipient

# In one statement: the row is locked before its address is read, so no other event changes it.
_CHANGE_EMAIL = """
    WITH known AS (
        SELECT email FROM recipients WHERE user_id = $1 AND version < $3 FOR UPDATE
    )
    UPDATE recipients SET email = $2, version = $3, updated_at = now()
    FROM known WHERE user_id = $1
    RETURNING known.email
"""


class RecipientRepository:
    """Reads and writes recipients in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def upsert(
        self, user_id: UUID, *, version: int, whole: bool = False, **known: str | datetime | None
    ) -> bool:
        """Store what is known of a user at `version`, and return whether it was stored.

        It never replaces a newer version.

        `whole` means that `known` is complete: it then also replaces data of the same version.
        """
        newer = Recipient.version <= version if whole else Recipient.version < version
        values: dict[str, Any] = {"version": version, **known}
        statement = insert(Recipient).values(user_id=user_id, **values)
        stored = await self._unit.session.execute(
            statement.on_conflict_do_update(
                index_elements=[Recipient.user_id],
                set_={**values, "updated_at": func.now()},
                where=newer,
            ).returning(Recipient.user_id)
        )
        return stored.one_or_none() is not None

    async def each_of(self, user_id: UUID) -> AsyncIterator[Recipient]:
        """Yield what is stored of a user: one recipient or none."""
        statement = select(Recipient).where(Recipient.user_id == user_id)
        for recipient in await self._unit.session.scalars(statement):
            yield recipient

    async def change_email(self, user_id: UUID, *, email: str, version: int) -> str | None:
        """Store a user's new address, and return the one that it replaces.

        It changes nothing and returns None if the user is not known, or known at this version or a
        newer one.
        """
        rows = await self._unit.fetch(_CHANGE_EMAIL, user_id, email, version)
        return rows[0]["email"] if rows else None
