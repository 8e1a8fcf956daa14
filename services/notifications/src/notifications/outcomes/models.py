"""The count of outcomes that were announced of each notification."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.kinds.models import Channel
from notifications.metadata import Base

OUTCOMES_KEPT = timedelta(days=35)
"""How long a count is kept after the last outcome: longer than there can be another one.

For 30 days after its end, a delivery to a webhook can be sent again, and then ends within two. A
count that begins again would repeat the versions of a notification."""


class OutcomeCount(Timestamped, Base):
    """How many outcomes of a notification were announced.

    It numbers the events of the notification: the row's lock puts them in the order of their
    commits. It is no column of ``notifications``, which has no row if the user has switched
    ``in_app`` off. ``listed`` is whether there was a row, and so an event of the creation.
    """

    __tablename__ = "outcomes"
    __table_args__ = (
        Index("ix_outcomes_created_at", "created_at"),
        Index("ix_outcomes_user_id", "user_id"),
    )

    notification_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    listed: Mapped[bool]
    announced: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOutcome:
    """What became of a notification on one channel, for good.

    Attributes:
        notification_id: the notification.
        user_id: who should get it.
        channel: the channel.
        failure: why it failed, in words, without addresses, secrets or other personal data; None if
            it was delivered.
    """

    notification_id: UUID
    user_id: UUID
    channel: Channel
    failure: str | None = None
