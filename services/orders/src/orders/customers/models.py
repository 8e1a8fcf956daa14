"""The table of customers: the facts about an account that orders needs. No personal data."""

from uuid import UUID

from sqlalchemy import CheckConstraint, false, true
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.jobs import JobArguments
from orders.metadata import Base


class Customer(Base, Timestamped):
    """An account of the users service.

    ``version`` is the account's version in the newest event. It is 0 if the customer ordered before
    the first event arrived. A deleted account is inactive, too.
    """

    __tablename__ = "customers"
    __table_args__ = (CheckConstraint("version >= 0", name="version_not_negative"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    is_active: Mapped[bool] = mapped_column(server_default=true())
    is_deleted: Mapped[bool] = mapped_column(server_default=false())
    version: Mapped[int]


class CloseAccountOrders(JobArguments):
    """Cancel a customer's open orders, and erase the personal data of one whose account is deleted.

    The job reads the customer's state when it runs.
    """

    kind = "orders.close-account-orders.v1"

    customer_id: UUID
