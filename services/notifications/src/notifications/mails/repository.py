"""All SQL on mails."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from chassis.database import new_id
from chassis.database.statements import each_row
from chassis.database.unit import Unit
from chassis.jobs import insert_jobs
from chassis.jobs.retention import rows_older_than
from notifications.kinds.models import Category
from notifications.mails.models import MAILS_KEPT, MailDraft, MailState, SendMail, WaitingMail
from notifications.recipients.repository import MAY_GET_MAIL

_INSERT = """
    INSERT INTO mails (id, user_id, source_event_id, kind, locale, recipient, token, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (source_event_id) DO NOTHING
    RETURNING id
"""
# No recipient is locked: the address is read again when the mail is sent.
_INSERT_NOTICES = """
    WITH m AS (
        SELECT * FROM json_to_recordset($1::json) AS r (
            id uuid, user_id uuid, source_event_id text, kind text, locale text,
            notification_id uuid, category text, content jsonb, created_at timestamptz,
            traceparent text
        )
    ),
    written AS (
        INSERT INTO mails (id, user_id, source_event_id, kind, locale, notification_id, category,
            content, created_at, expires_at)
        SELECT m.id, m.user_id, m.source_event_id, m.kind, m.locale, m.notification_id, m.category,
            m.content, m.created_at, now() + $2
        FROM m JOIN recipients AS r USING (user_id)
        WHERE {may_get_mail}
        ON CONFLICT (source_event_id) DO NOTHING
        RETURNING id
    ),
    sending AS (
        SELECT json_build_object('mail_id', m.id) AS arguments, m.id::text AS unique_key,
            m.traceparent, now() AS run_at
        FROM m JOIN written USING (id)
    )
"""
_INSERT_NOTICES = _INSERT_NOTICES.replace("{may_get_mail}", MAY_GET_MAIL)
_INSERT_NOTICES += insert_jobs(SendMail, "sending")
_WAITING = """
    SELECT m.id, m.user_id, m.kind, m.locale, m.token, m.expires_at, m.created_at,
        m.notification_id, m.category, m.content, coalesce(m.recipient, r.email) AS recipient,
        m.expires_at <= now() AS expired,
        m.notification_id IS NULL OR coalesce({may_get_mail}, false) AS allowed
    FROM mails AS m
    LEFT JOIN recipients AS r ON r.user_id = m.user_id AND m.notification_id IS NOT NULL
    WHERE m.id = $1 AND m.state = 'waiting'
"""
_WAITING = _WAITING.replace("{may_get_mail}", MAY_GET_MAIL)
# The only statement that ends one mail: what is secret goes with the state.
_SETTLE = """
    UPDATE mails SET state = $2, error = $3, recipient = NULL, token = NULL, content = NULL,
        settled_at = now(), updated_at = now()
    WHERE id = $1 AND state = 'waiting'
    RETURNING id
"""
# A notification's mail is settled by its job, which announces that. If the job was given up, an
# hour later there is another one, which finds the mail expired.
_EXPIRE = """
    UPDATE mails SET state = 'expired', recipient = NULL, token = NULL, content = NULL,
        settled_at = now(), updated_at = now()
    WHERE id = ANY (ARRAY(
        SELECT id FROM mails
        WHERE state = 'waiting' AND expires_at <= now() AND notification_id IS NULL
        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
"""
_SETTLE_AGAIN = """
    WITH forgotten AS (
        SELECT id FROM mails AS m
        WHERE state = 'waiting' AND expires_at <= now() - $2::interval
            AND notification_id IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM jobs WHERE kind = $3 AND unique_key = m.id::text
                    AND state IN ('waiting', 'running')
            )
        ORDER BY expires_at LIMIT $1
    ),
    sending AS (
        SELECT json_build_object('mail_id', id) AS arguments, id::text AS unique_key,
            NULL::text AS traceparent, now() AS run_at
        FROM forgotten
    )
"""
_SETTLE_AGAIN += insert_jobs(SendMail, "sending")
_NOTICE_GRACE = timedelta(hours=1)
_OF_USER = """
    SELECT id, kind, state, recipient, created_at, settled_at FROM mails
    WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""
_ERASE_WAITING = "DELETE FROM mails WHERE user_id = $1 AND state = 'waiting'"
_ERASE = """
    DELETE FROM mails WHERE id = ANY (ARRAY(SELECT id FROM mails WHERE user_id = $1 LIMIT $2))
"""
_prune = rows_older_than(MAILS_KEPT, "mails", "settled_at", also="state <> 'waiting'")


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

    async def insert_notices(self, rows: Sequence[Mapping[str, Any]], *, kept: timedelta) -> int:
        """Store mails of notifications with their jobs, and return how many.

        Those whose user may get none now, or has the mail already, are left out.

        Args:
            rows: the columns of the part ``m`` of the statement.
            kept: how long the mail server may be unavailable before one is given up.
        """
        return await self._unit.execute(_INSERT_NOTICES, json.dumps(rows, default=str), kept)

    async def find_waiting(self, mail_id: UUID) -> WaitingMail | None:
        """Return a mail; None if it is settled or was erased."""
        rows = await self._unit.fetch(_WAITING, mail_id)
        if not rows:
            return None
        values = dict(rows[0])
        category = values.pop("category")
        return WaitingMail(**values, category=None if category is None else Category(category))

    async def settle(self, mail_id: UUID, state: MailState, *, error: str | None = None) -> bool:
        """Record what became of a mail, and erase its address, secret and content.

        Returns:
            False if the mail does not wait any more: it was erased, or sent by another worker.
        """
        return bool(await self._unit.fetch(_SETTLE, mail_id, state.value, error))

    async def expire(self, *, limit: int) -> int:
        """Settle up to `limit` waiting mails that have expired; return how many.

        For up to `limit` mails of notifications it enqueues jobs that settle and announce them.
        """
        expired = len(await self._unit.fetch(_EXPIRE, limit))
        return expired + await self._unit.execute(
            _SETTLE_AGAIN, limit, _NOTICE_GRACE, SendMail.kind
        )

    async def prune(self, *, limit: int) -> int:
        """Delete up to `limit` mails that were settled over MAILS_KEPT ago; return how many."""
        return await _prune(self._unit, limit)

    async def each_of(self, user_id: UUID) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what is kept of the mails to a user, oldest first, without their tokens."""
        async for row in each_row(self._unit, _OF_USER, user_id, after={"id": UUID(int=0)}):
            yield dict(row)

    async def erase_waiting(self, user_id: UUID) -> None:
        """Delete the mails of a user that are not sent yet. Their jobs then find nothing."""
        await self._unit.execute(_ERASE_WAITING, user_id)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete mails of a user, at most `limit`, and return how many."""
        return await self._unit.execute(_ERASE, user_id, limit)
