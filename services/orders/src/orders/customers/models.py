"""The table of customers: what orders needs to know of an account, and no personal data."""

from uuid import UUID

from sqlalchemy import CheckConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from orders.metadata import Base


class Customer(Base, Timestamped):
    """An account of the users service.

    ``version`` is that of the account at the newest event seen; 0 where the customer ordered before
    any event came.
    """

    __tablename__ = "customers"
    __table_args__ = (CheckConstraint("version >= 0", name="version_not_negative"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    is_active: Mapped[bool] = mapped_column(server_default=true())
    version: Mapped[int]
