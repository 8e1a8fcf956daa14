"""The inbox: a row for each message that was met, so that it takes effect once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.engine import Database
from chassis.database.errors import is_infrastructure_error
from chassis.database.statements import fetch
from chassis.messaging.consuming.incoming import Incoming

log = structlog.get_logger(__name__)

DONE, IGNORED, PARKED, SKIPPED, DISCARDED = "done", "ignored", "parked", "skipped", "discarded"

_RECEIVE = """
    INSERT INTO inbox (consumer, source, id, outcome)
    SELECT $1, i.source, i.id, i.outcome
    FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY
        AS i (source, id, outcome, place)
    ORDER BY i.place
    ON CONFLICT (consumer, source, id) DO NOTHING
    RETURNING source, id
"""
_SETTLE = text(
    "UPDATE inbox SET outcome = :outcome WHERE consumer = :consumer AND source = :source"
    " AND id = :id"
)
# What is parked stays: its row keeps a duplicate from running while it waits.
_PRUNE = text(
    """
    DELETE FROM inbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM inbox
        WHERE received_at < now() - cast(:keep AS interval)
          AND consumer = :consumer AND outcome <> 'parked'
        ORDER BY received_at LIMIT :rows
    ))
    """
)
_PRUNE_ROWS = 5000
_PRUNE_SECONDS = 60.0


class Inbox:
    """The inbox of one consumer.

    Args:
        consumer: the service's name.
    """

    def __init__(self, *, consumer: str) -> None:
        self._consumer = consumer

    async def receive[R](
        self, session: AsyncSession, messages: Sequence[Incoming[R]]
    ) -> list[Incoming[R]]:
        """Write the rows of `messages`, in their order; answer those that were not there before.

        A message that stands there twice is answered once.
        """
        rows = await fetch(
            session,
            _RECEIVE,
            self._consumer,
            [message.source for message in messages],
            [message.id for message in messages],
            [IGNORED if message.ignored else DONE for message in messages],
        )
        new = {(source, message_id) for source, message_id in rows}
        fresh = []
        for message in messages:
            if (message.source, message.id) in new:
                new.remove((message.source, message.id))
                fresh.append(message)
        return fresh

    async def settle(self, session: AsyncSession, source: str, message_id: str, to: str) -> None:
        """Change the outcome of a message that was met before."""
        await session.execute(
            _SETTLE,
            {"consumer": self._consumer, "source": source, "id": message_id, "outcome": to},
        )

    async def prune(self, database: Database, *, keep: timedelta) -> int:
        """Delete rows older than `keep`, in small transactions; answers how many there were."""
        deleted = 0
        while True:
            async with database.transaction() as session:
                result = await session.execute(
                    _PRUNE, {"keep": keep, "consumer": self._consumer, "rows": _PRUNE_ROWS}
                )
                rows: int = result.rowcount  # type: ignore[attr-defined]  # a DELETE has one
            deleted += rows
            if rows < _PRUNE_ROWS:
                return deleted

    async def keep_pruned(self, database: Database, *, keep: timedelta) -> None:
        """Prune every minute until cancelled; a database that is away is waited for."""
        while True:
            try:
                if deleted := await self.prune(database, keep=keep):
                    log.info("inbox pruned", rows=deleted)
            except Exception as error:
                if not is_infrastructure_error(error):
                    raise
                log.warning("inbox could not be pruned", error=type(error).__name__)
            await asyncio.sleep(_PRUNE_SECONDS)
