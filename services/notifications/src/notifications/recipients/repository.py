"""All SQL on recipients."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import insert

from chassis.database.unit import Unit
from notifications.recipients.models import MailRate, Recipient

# The event has no name. If the user is not known, the name stays empty until another event has it.
_CHANGE_EMAIL = """
    INSERT INTO recipients (user_id, email, email_verified, full_name, version)
    VALUES ($1, $2, true, '', $3)
    ON CONFLICT (user_id) DO UPDATE
    SET email = excluded.email, email_verified = true, email_refused_at = NULL,
        version = excluded.version, updated_at = now()
    WHERE recipients.version < excluded.version
"""
_REFUSE_EMAIL = """
    UPDATE recipients SET email_refused_at = now(), updated_at = now()
    WHERE user_id = $1 AND email = $2
"""
# The row's lock puts all workers in turn, so that together they can't exceed the rate.
_TAKE_TURN = """
    UPDATE recipients SET mails_due_at = greatest(mails_due_at, now()) + $2::interval / $3
    WHERE user_id = $1
        AND greatest(mails_due_at, now()) + $2::interval / $3 <= now() + $2::interval
    RETURNING user_id
"""
_UNTIL_TURN = """
    SELECT greatest(mails_due_at, now()) + $2::interval / $3 - now() - $2::interval AS wait
    FROM recipients WHERE user_id = $1
"""
MAY_GET_MAIL = """
    r.email IS NOT NULL AND r.email_verified AND r.is_active
        AND (r.email_refused_at IS NULL OR m.category = 'security')
"""
"""The part of a statement that says whether the recipient ``r`` gets the notification mail ``m``.

Security mails go to an address that a server has refused, too: it may accept mails again.
"""
HAS_ADDRESS = """EXISTS (
    SELECT FROM recipients AS r WHERE r.user_id = w.user_id AND r.email_verified
)"""
"""The part of a statement that says whether the user of ``w`` has any address; see MAY_GET_MAIL."""


class RecipientRepository:
    """Reads and writes recipients in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def upsert(
        self,
        user_id: UUID,
        *,
        version: int,
        whole: bool = False,
        **known: str | bool | datetime | None,
    ) -> bool:
        """Store what is known of a user at `version`, and return whether it was stored.

        It never replaces a newer version.

        `whole` means that `known` is complete: it then also replaces data of the same version.
        """
        newer = Recipient.version <= version if whole else Recipient.version < version
        values: dict[str, Any] = {"version": version, **known}
        statement = insert(Recipient).values(user_id=user_id, **{"full_name": "", **values})
        changes = {**values, "updated_at": func.now()}
        if "email" in known and "email_refused_at" not in known:
            same = Recipient.email.is_not_distinct_from(known["email"])
            changes["email_refused_at"] = case((same, Recipient.email_refused_at), else_=None)
        stored = await self._unit.session.execute(
            statement.on_conflict_do_update(
                index_elements=[Recipient.user_id],
                set_=changes,
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
        """Store a user's new address, which is verified.

        It changes nothing if this or a newer version is known.
        """
        await self._unit.execute(_CHANGE_EMAIL, user_id, email, version)

    async def refuse_email(self, user_id: UUID, email: str) -> None:
        """Record that a mail server refused a user's address for good; ignore another address."""
        await self._unit.execute(_REFUSE_EMAIL, user_id, email)

    async def take_turn(self, user_id: UUID, rate: MailRate) -> timedelta | None:
        """Count a mail to a user and return None, or return how long the mail has to wait."""
        limits = (user_id, rate.window, rate.limit)
        if await self._unit.fetch(_TAKE_TURN, *limits):
            return None
        rows = await self._unit.fetch(_UNTIL_TURN, *limits)
        return rows[0]["wait"] if rows else None
