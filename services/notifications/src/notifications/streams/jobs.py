"""The retention of stream tickets."""

from chassis.database.unit import Unit
from notifications.streams.repository import StreamTicketRepository


async def prune_stream_tickets(unit: Unit, limit: int) -> int:
    """Delete expired stream tickets, and return how many."""
    return await StreamTicketRepository(unit).prune(limit=limit)
