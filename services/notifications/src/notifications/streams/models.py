"""The table of stream tickets, and the rules for them."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.metadata import Base

TICKET_LIFETIME = timedelta(seconds=30)
"""From its issue to the request that opens the stream; the stream itself may last longer."""

_TICKET_BYTES = 32


class StreamTicket(Base, Timestamped):
    """A ticket that was issued and not used yet, with what identifies its access token.

    A stream that a ticket opened ends when that token ends: by its expiry, with its log-in session
    or API key, or with the key that signed it.

    Attributes:
        ticket_hash: the SHA-256 of the ticket: a fast hash is enough for 256 random bits.
        token_expires_at: the token's claim ``exp``, in seconds since 1970.
        key_id: the ``kid`` of the key that signed the token.
        expires_at: when the ticket is no longer accepted.
    """

    __tablename__ = "stream_tickets"

    ticket_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID]
    session_id: Mapped[UUID | None]
    api_key_id: Mapped[UUID | None]
    token_expires_at: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTicket:
    """A new ticket, which only its client gets."""

    ticket: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketHolder:
    """What identifies the access token for which a ticket was issued."""

    user_id: UUID
    session_id: UUID | None
    api_key_id: UUID | None
    token_expires_at: int
    key_id: str


def new_ticket() -> str:
    """Return a new random ticket."""
    return secrets.token_urlsafe(_TICKET_BYTES)


def hash_of(ticket: str) -> bytes:
    """Return the hash under which a ticket is stored. It accepts any text."""
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
