"""The table of one-time tokens, and the rules for them."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from users.accounts.models import Account
from users.metadata import Base


class Purpose(StrEnum):
    """What a one-time token is accepted for."""

    VERIFY_EMAIL = "verify_email"
    CHANGE_EMAIL = "change_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - no password


LIFETIMES = {
    # The topic of mail requests keeps messages for one day.
    Purpose.VERIFY_EMAIL: timedelta(days=1),
    Purpose.CHANGE_EMAIL: timedelta(days=1),
    # Whoever reads the mail gets the account. Greylisting may delay a mail for some minutes.
    Purpose.RESET_PASSWORD: timedelta(minutes=30),
}


MAIL_LOCALE = "en"
"""The language of mails with a token. Accounts have no language of their own."""


class OneTimeToken(Base, Timestamped):
    """A token that was mailed and not used yet.

    Only its hash is stored; see ``token_hash``.

    Attributes:
        token_hash: the hash of the token.
        user_id: the account.
        purpose: what the token is accepted for.
        account_state: what the account must still be; see ``state_of``.
        new_email: the address to change to; None for other purposes.
        expires_at: when the token is no longer accepted.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        CheckConstraint(
            "purpose IN ('verify_email', 'change_email', 'reset_password')", name="purpose_known"
        ),
        CheckConstraint(
            "(purpose = 'change_email') = (new_email IS NOT NULL)", name="new_email_of_change"
        ),
    )

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(Text)
    account_state: Mapped[bytes] = mapped_column(LargeBinary)
    new_email: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailedToken:
    """A new token, which goes into a mail."""

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """A token that was valid and is used now.

    Attributes:
        account: the token's account; its row is locked.
        new_email: the address to change to; None for other purposes.
    """

    account: Account
    new_email: str | None


def state_of(account: Account, purpose: Purpose) -> bytes:
    """Return a hash of what must not change while a token is valid.

    A token ends with the address that it was mailed to. One that changes the address or the
    password also ends with the password. So after a reset, neither an earlier mail nor a change of
    address that an attacker began is accepted.
    """
    parts = [account.email]
    if purpose is not Purpose.VERIFY_EMAIL:
        parts.append(account.password_hash)
    return hashlib.sha256("\0".join(parts).encode()).digest()
