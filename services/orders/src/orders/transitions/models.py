"""The types of a change of an order's status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from chassis.errors import DomainError
from chassis.jobs import JobArguments
from chassis.versions import Expected
from orders.orders.models import Order, OrderHistoryEntry, OrderRecord, OrderStatus

MAX_BATCH = 100
MAX_REASON = 500


class Cause(StrEnum):
    """Why an order was cancelled, as its event says."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    NOT_CONFIRMED = "not_confirmed"
    CUSTOMER_INACTIVE = "customer_inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A wanted change of an order's status.

    Attributes:
        order_id: the order.
        to: the status that it should have.
        expected: the versions at which the caller wants the change.
        reason: the words of the person who asks for it, for the history.
        cause: why an order is cancelled; None if a person cancels it.
    """

    order_id: UUID
    to: OrderStatus
    expected: Expected = field(default=Expected())
    reason: str | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOrder:
    """An order that this transaction is about to change.

    Attributes:
        order: as it is.
        at: the clock's time once it was read, and locked if it was: the time of a change, which all
            orders of a statement have in common. The transaction may have begun before the change
            of the one that held the lock.
    """

    order: OrderRecord
    at: datetime

    def changed_to(self, status: OrderStatus) -> OrderRecord:
        """Return the order with another status; this alone raises the version of an order."""
        return replace(
            self.order, status=status, version=self.order.version + 1, updated_at=self.at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedOrder:
    """An order that this transaction changes.

    Attributes:
        order: as it will be.
        reason: for its history.
        event: the row of the outbox that announces the change.
    """

    order: OrderRecord
    reason: str | None
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a wanted change.

    Attributes:
        change: the wanted change.
        order: the order as it will be; None if the caller has no such order.
        error: why nothing changed; None if the order changed.
    """

    change: Change
    order: OrderRecord | None
    error: DomainError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order that can still be cancelled, and its version when it was read."""

    order_id: UUID
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderWithHistory:
    """An order with the changes of its status, the oldest first."""

    order: Order
    history: Sequence[OrderHistoryEntry]


class CancelUnconfirmed(JobArguments):
    """Cancel the orders that were not confirmed in time."""

    kind = "orders.cancel-unconfirmed.v1"
