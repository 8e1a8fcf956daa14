"""The table of recipients: the facts about a user that this service needs, and their erasure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, false, func, true
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.jobs import JobArguments
from notifications.metadata import Base


class Recipient(Timestamped, Base):
    """A user who may be notified.

    ``version`` is the account's version in the newest event. ``email`` is null and ``full_name`` is
    empty until an event has them. Of a deleted account only the id and the version stay, so that
    older events do not bring its data back.

    Attributes:
        joined_at: when the account was registered, by the event that says so; without that event,
            when the user was first heard of.
        email_verified: whether the user has proved that mails to ``email`` arrive.
        email_refused_at: when a mail server refused ``email`` for good. Until the address changes
            or is verified again, only security mails go to it.
        mails_due_at: when the user's bucket of notification mails will be empty (GCRA, ITU-T
            I.371); null if there was none yet.
        is_active: whether the account can be used; one that was deactivated gets no mails.
    """

    __tablename__ = "recipients"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(Text)
    full_name: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    joined_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    email_verified: Mapped[bool] = mapped_column(server_default=false())
    email_refused_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    mails_due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    is_active: Mapped[bool] = mapped_column(server_default=true())


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRate:
    """How many notification mails a user gets at most.

    Attributes:
        limit: how many at once, and in `window`.
        window: the period.
    """

    limit: int
    window: timedelta = timedelta(minutes=1)


class EraseUserData(JobArguments):
    """Delete the notifications, feed entries and parked messages of a deleted account."""

    kind = "notifications.erase-user-data.v1"

    user_id: UUID
