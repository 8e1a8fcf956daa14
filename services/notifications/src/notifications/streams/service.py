"""Use cases of stream tickets: issue one, and redeem it once."""

from chassis.auth.principal import Principal, Verifier
from chassis.errors import Unauthenticated
from notifications.streams.errors import InvalidStreamTicket
from notifications.streams.models import IssuedTicket, TicketHolder, hash_of, new_ticket
from notifications.streams.repository import StreamTicketRepository


class StreamTickets:
    """The stream tickets of one transaction.

    Args:
        tickets: their repository.
        verifier: checks whether a ticket's access token is still valid.
        scope: the only scope of a ticket.
    """

    def __init__(self, *, tickets: StreamTicketRepository, verifier: Verifier, scope: str) -> None:
        self._tickets = tickets
        self._verifier = verifier
        self._scope = scope

    async def issue(self, caller: Principal) -> IssuedTicket:
        """Return a new ticket, with which the caller can open one stream."""
        ticket = new_ticket()
        holder = TicketHolder(
            user_id=caller.user_id,
            session_id=caller.session_id,
            api_key_id=caller.api_key_id,
            token_expires_at=caller.expires_at,
            key_id=caller.key_id,
        )
        return IssuedTicket(
            ticket=ticket, expires_at=await self._tickets.add(hash_of(ticket), holder)
        )

    async def redeem(self, ticket: str) -> Principal:
        """Use a ticket, and return its user, who may do no more than follow the feed.

        Raises:
            InvalidStreamTicket: the ticket is unknown, used or expired.
            Unauthenticated: the access token that it was issued for is no longer valid.
        """
        holder = await self._tickets.take(hash_of(ticket))
        if holder is None:
            message = (
                "The stream ticket is unknown, was used, or has expired. Each one opens one "
                "stream, within 30 s. Request another one."
            )
            raise InvalidStreamTicket(message)
        principal = Principal(
            user_id=holder.user_id,
            session_id=holder.session_id,
            api_key_id=holder.api_key_id,
            roles=frozenset(),
            scopes=frozenset({self._scope}),
            expires_at=holder.token_expires_at,
            key_id=holder.key_id,
            authenticated_at=0,
            methods=frozenset(),
        )
        try:
            self._verifier.check(principal)
        except ValueError as error:
            raise Unauthenticated(str(error)) from error
        return principal
