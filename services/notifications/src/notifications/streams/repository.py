"""All SQL on stream tickets."""

from datetime import datetime

from chassis.database.unit import Unit
from notifications.streams.models import TICKET_LIFETIME, TicketHolder

_ADD = """
    INSERT INTO stream_tickets
        (ticket_hash, user_id, session_id, api_key_id, token_expires_at, key_id, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, now() + $7::interval)
    RETURNING expires_at
"""
# Of several that take one ticket, the first deletes it, and the others find no row.
_TAKE = """
    DELETE FROM stream_tickets WHERE ticket_hash = $1
    RETURNING user_id, session_id, api_key_id, token_expires_at, key_id,
        expires_at > clock_timestamp() AS is_valid
"""
_PRUNE = """
    DELETE FROM stream_tickets WHERE ticket_hash = ANY (ARRAY(
        SELECT ticket_hash FROM stream_tickets WHERE expires_at <= now()
        ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
"""


class StreamTicketRepository:
    """The stream tickets of one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def add(self, ticket_hash: bytes, holder: TicketHolder) -> datetime:
        """Insert a ticket, and return when it expires, by PostgreSQL's clock."""
        (row,) = await self._unit.fetch(
            _ADD,
            ticket_hash,
            holder.user_id,
            holder.session_id,
            holder.api_key_id,
            holder.token_expires_at,
            holder.key_id,
            TICKET_LIFETIME,
        )
        expires_at: datetime = row["expires_at"]
        return expires_at

    async def take(self, ticket_hash: bytes) -> TicketHolder | None:
        """Delete a ticket, and return its holder; None if it is unknown or has expired."""
        rows = await self._unit.fetch(_TAKE, ticket_hash)
        if not rows or not rows[0]["is_valid"]:
            return None
        row = rows[0]
        return TicketHolder(
            user_id=row["user_id"],
            session_id=row["session_id"],
            api_key_id=row["api_key_id"],
            token_expires_at=row["token_expires_at"],
            key_id=row["key_id"],
        )

    async def prune(self, *, limit: int) -> int:
        """Delete expired tickets, at most `limit`, and return how many."""
        return await self._unit.execute(_PRUNE, limit)
