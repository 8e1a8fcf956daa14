"""The inbox: a row for each message that was received, so that it takes effect once."""

from collections.abc import Sequence
from datetime import timedelta

from chassis.database.unit import Unit
from chassis.messaging.consuming.incoming import Incoming

DONE, IGNORED, PARKED, SKIPPED, DISCARDED = "done", "ignored", "parked", "skipped", "discarded"

_RECEIVE = """
    INSERT INTO inbox (consumer, source, id, outcome)
    SELECT $1, i.source, i.id, 'done'
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS i (source, id, place)
    ORDER BY i.place
    ON CONFLICT (consumer, source, id) DO NOTHING
    RETURNING source, id
"""
_SETTLE = "UPDATE inbox SET outcome = $4 WHERE consumer = $1 AND source = $2 AND id = $3"
# Keep the rows of parked messages: they keep duplicates from running while the message waits.
_PRUNE = """
    DELETE FROM inbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM inbox
        WHERE received_at < now() - $2::interval AND consumer = $1 AND outcome <> 'parked'
        ORDER BY received_at LIMIT $3
    ))
"""


class Inbox:
    """The inbox of one consumer.

    Args:
        consumer: the service's name.
    """

    def __init__(self, *, consumer: str) -> None:
        self._consumer = consumer

    async def receive[R](self, unit: Unit, messages: Sequence[Incoming[R]]) -> list[Incoming[R]]:
        """Insert the rows of `messages`, in their order; return the messages that are new.

        A message that is in `messages` twice is returned once.
        """
        rows = await unit.fetch(
            _RECEIVE,
            self._consumer,
            [message.source for message in messages],
            [message.id for message in messages],
        )
        new = {(source, message_id) for source, message_id in rows}
        fresh = []
        for message in messages:
            if (message.source, message.id) in new:
                new.remove((message.source, message.id))
                fresh.append(message)
        return fresh

    async def settle(self, unit: Unit, source: str, message_id: str, to: str) -> None:
        """Change the outcome of a message that was received before."""
        await unit.execute(_SETTLE, self._consumer, source, message_id, to)

    async def prune(self, unit: Unit, *, keep: timedelta, limit: int) -> int:
        """Delete up to `limit` rows older than `keep`; return how many were deleted."""
        return await unit.execute(_PRUNE, self._consumer, keep, limit)
