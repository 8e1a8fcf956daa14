"""All SQL on mails."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.database import new_id
from chassis.database.statements import each_row
from chassis.database.unit import Unit
from chassis.jobs.retention import rows_older_than
from notifications.mail_texts.models import MailContent, MailKind
from notifications.mails.models import MAILS_KEPT, MailDraft, MailState

_INSERT = """
    INSERT INTO mails (id, user_id, source_event_id, kind, locale, recipient, token, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (source_event_id) DO NOTHING
    RETURNING id
"""
_WAITING = """
    SELECT id, kind, recipient, locale, token, expires_at, created_at,
        expires_at <= now() AS expired
    FROM mails WHERE id = $1 AND state = 'waiting'
"""
# The only statement that ends a mail: what is secret goes with the state.
_SETTLE = """
    UPDATE mails SET state = $2, error = $3, recipient = NULL, token = NULL,
        settled_at = now(), updated_at = now()
    WHERE id = $1 AND state = 'waiting'
    RETURNING id
"""
_EXPIRE = """
    UPDATE mails SET state = 'expired', recipient = NULL, token = NULL,
        settled_at = now(), updated_at = now()
    WHERE id = ANY (ARRAY(
        SELECT id FROM mails WHERE state = 'waiting' AND expires_at <= now()
        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
"""
_OF_USER = """
    SELECT id, kind, state, recipient, created_at, settled_at FROM mails
    WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""
_ERASE = "DELETE FROM mails WHERE user_id = $1"
_prune = rows_older_than(MAILS_KEPT, "mails", "settled_at", also="state <> 'waiting'")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMail:
    """A mail that is not sent yet, and whether it has expired by the database's clock."""

    content: MailContent
    expired: bool


class MailRepository:
    """Reads and writes mails in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def insert(self, draft: MailDraft) -> UUID | None:
        """Store a mail and return its id; None if its event has a mail already."""
        rows = await self._unit.fetch(
            _INSERT,
            new_id(),
            draft.user_id,
            draft.source_event_id,
            draft.kind.value,
            draft.locale,
            draft.recipient,
            draft.token,
            draft.expires_at,
        )
        return rows[0]["id"] if rows else None

    async def find_waiting(self, mail_id: UUID) -> WaitingMail | None:
        """Return a mail; None if it is settled or was erased."""
        rows = await self._unit.fetch(_WAITING, mail_id)
        if not rows:
            return None
        [row] = rows
        content = MailContent(
            id=row["id"],
            kind=MailKind(row["kind"]),
            recipient=row["recipient"],
            locale=row["locale"],
            token=row["token"],
            expires_at=row["expires_at"],
            created_at=row["created_at"],
        )
        return WaitingMail(content=content, expired=row["expired"])

    async def settle(self, mail_id: UUID, state: MailState, *, error: str | None = None) -> bool:
        """Record what became of a mail, and erase its address and secret.

        Returns:
            False if the mail does not wait any more: it was erased, or sent by another worker.
        """
        return bool(await self._unit.fetch(_SETTLE, mail_id, state.value, error))

    async def expire(self, *, limit: int) -> int:
        """Settle up to `limit` waiting mails that have expired; return how many."""
        return len(await self._unit.fetch(_EXPIRE, limit))

    async def prune(self, *, limit: int) -> int:
        """Delete up to `limit` mails that were settled over MAILS_KEPT ago; return how many."""
        return await _prune(self._unit, limit)

    async def each_of(self, user_id: UUID) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what is kept of the mails to a user, oldest first, without their tokens."""
        async for row in each_row(self._unit, _OF_USER, user_id, after={"id": UUID(int=0)}):
            yield dict(row)

    async def erase(self, user_id: UUID) -> None:
        """Delete all mails of a user. Their jobs then find nothing to send."""
        await self._unit.execute(_ERASE, user_id)
