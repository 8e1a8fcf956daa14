"""The table of recipients: the facts about a user that this service needs, and their erasure."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.jobs import JobArguments
from notifications.metadata import Base


class Recipient(Timestamped, Base):
    """A user who may be notified.

    ``version`` is the account's version in the newest event. ``email`` is null if the topic no
    longer holds the event of the registration. Of a deleted account only the id and the version
    stay, so that older events do not bring its data back: the address is null, the name empty.

    ``joined_at`` is when the account was registered, by the event that says so; without that
    event, when the user was first heard of.
    """

    __tablename__ = "recipients"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(Text)
    full_name: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    joined_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class EraseUserData(JobArguments):
    """Delete the notifications, feed entries and parked messages of a deleted account."""

    kind = "notifications.erase-user-data.v1"

    user_id: UUID
