"""All SQL on recipients."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from chassis.database.unit import Unit
from notifications.recipients.models import Recipient

# The event has no name. If the user is not known, the name stays empty until another event has it.
_CHANGE_EMAIL = """
    INSERT INTO recipients (user_id, email, full_name, version) VALUES ($1, $2, '', $3)
    ON CONFLICT (user_id) DO UPDATE
    SET email = excluded.email, version = excluded.version, updated_at = now()
    WHERE recipients.version < excluded.version
"""


class RecipientRepository:
    """Reads and writes recipients in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def upsert(
        self, user_id: UUID, *, version: int, whole: bool = False, **known: str | None
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

    async def change_email(self, user_id: UUID, *, email: str, version: int) -> None:
        """Store a user's new address. It changes nothing if this or a newer version is known."""
        await self._unit.execute(_CHANGE_EMAIL, user_id, email, version)
