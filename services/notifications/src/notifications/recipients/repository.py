"""All SQL on recipients."""

from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from notifications.recipients.models import Recipient


class RecipientRepository:
    """Writes recipients in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def upsert(
        self, user_id: UUID, *, version: int, whole: bool = False, **known: str
    ) -> None:
        """Write what is known of a user at `version`; older knowledge never replaces newer.

        With `whole` it is all that can be known, and completes what is known of the same version.
        """
        newer = Recipient.version <= version if whole else Recipient.version < version
        values: dict[str, Any] = {"version": version, **known}
        statement = insert(Recipient).values(user_id=user_id, **values)
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=[Recipient.user_id],
                set_={**values, "updated_at": func.now()},
                where=newer,
            )
        )
