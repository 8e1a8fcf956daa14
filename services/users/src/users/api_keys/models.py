"""The table of API keys, and the scopes that an account may give to one."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped, new_id
from users.accounts.models import Account
from users.metadata import Base
from users.sessions.models import scopes_of

MAX_KEYS = 50
"""The largest number of valid API keys of one account."""

LONGEST_LIFETIME = timedelta(days=366)
"""The longest time from a key's creation to its expiry."""

USUAL_LIFETIME = timedelta(days=90)
"""The time to the expiry of a key that was created without one."""

ENDED_KEYS_KEPT = timedelta(days=30)
"""How long a key stays in its owner's list after it expired or was revoked."""


class ApiKey(Base, Timestamped):
    """An API key of an account.

    Only the key's hash is stored; see ``token_hash``. A key that expired or was revoked stays for a
    while, so that its owner sees what became of it.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        # For the list of an account's keys.
        Index("ix_api_keys_user_id_created_at_id", "user_id", "created_at", "id"),
        Index(
            "ix_api_keys_revoked_at",
            "revoked_at",
            postgresql_where=text("revoked_at IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


def entitled_scopes(account: Account | None) -> frozenset[str]:
    """Return the scopes that an account may have now: none if it is missing or not active."""
    if account is None or not account.is_active:
        return frozenset()
    return scopes_of(account.roles)
