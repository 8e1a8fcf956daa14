"""Construct the use cases of stream tickets for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from notifications.kinds.wiring import SCOPE
from notifications.streams.repository import StreamTicketRepository
from notifications.streams.service import StreamTickets


def stream_tickets(resources: ServiceResources, unit: Unit) -> StreamTickets:
    """Return the use cases of stream tickets."""
    return StreamTickets(
        tickets=StreamTicketRepository(unit), verifier=resources.verifier, scope=SCOPE
    )


Tickets = Annotated[StreamTickets, use_case(stream_tickets)]
