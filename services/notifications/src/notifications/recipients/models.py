"""Users as this service needs them."""

from uuid import UUID

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.metadata import Base


class Recipient(Timestamped, Base):
    """A user who may be notified.

    ``version`` is the account's, of the newest event that was taken in. The address is null where
    the event of the registration is older than what the topic keeps.
    """

    __tablename__ = "recipients"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(Text)
    full_name: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
