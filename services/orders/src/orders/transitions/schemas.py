"""The request and response bodies of transitions and of an order's history."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from chassis.actor import ActorKind
from chassis.errors import DomainError
from chassis.http import Id, Shape
from chassis.http.problems import TYPE_PREFIX, status_of
from chassis.integers import MAX_INTEGER
from chassis.versions import Expected
from orders.orders.models import OrderHistoryEntry, OrderStatus
from orders.orders.schemas import OrderOut, Status
from orders.transitions.models import (
    MAX_BATCH,
    MAX_REASON,
    Change,
    OrderWithHistory,
    Outcome,
)

Words = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_REASON,
        description="Why. The order's history keeps it, and the customer can read it.",
    ),
]


class Reason(Shape):
    """Why the status of an order is changed."""

    reason: Words | None = None


class NewTransition(Shape):
    """A wanted change of the status of one order."""

    order_id: Id
    to: Annotated[Status, Field(description="The status that the order should have.")]
    version: Annotated[
        int | None,
        Field(
            ge=1,
            le=MAX_INTEGER,
            description="Change the order only if it still has this version, as `If-Match` does.",
        ),
    ] = None
    reason: Words | None = None

    def change(self) -> Change:
        """Return the change that the use case accepts."""
        expected = Expected() if self.version is None else Expected(among=frozenset({self.version}))
        return Change(order_id=self.order_id, to=self.to, expected=expected, reason=self.reason)


class NewTransitions(Shape):
    """Wanted changes of the status of several orders."""

    items: Annotated[
        list[NewTransition],
        Field(min_length=1, max_length=MAX_BATCH, description="Each order once."),
    ]


class TransitionProblem(Shape):
    """Why an order was not changed, in the members of a problem document (RFC 9457)."""

    type: str
    title: str
    status: Annotated[int, Field(description="The HTTP status of the same request for one order.")]
    detail: str

    @classmethod
    def of(cls, error: DomainError) -> Self:
        """Return the problem of an error."""
        return cls(
            type=TYPE_PREFIX + error.name,
            title=error.title,
            status=status_of(type(error)),
            detail=error.detail,
        )


class TransitionResult(Shape):
    """What became of one item."""

    order_id: Id
    status: Annotated[
        Status | None,
        Field(description="The order's present status; null: you have no such order."),
    ]
    version: Annotated[
        int | None, Field(description="The order's present version; null: you have no such order.")
    ]
    error: Annotated[
        TransitionProblem | None, Field(description="Why nothing changed; null: the order changed.")
    ]

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Return the result of one change."""
        order = outcome.order
        return cls(
            order_id=outcome.change.order_id,
            status=None if order is None else OrderStatus(order.status),
            version=None if order is None else order.version,
            error=None if outcome.error is None else TransitionProblem.of(outcome.error),
        )


class TransitionResults(Shape):
    """What became of each item, in the order of the request."""

    items: list[TransitionResult]


class HistoryActor(Shape):
    """Who changed the order."""

    kind: Annotated[ActorKind, Field(strict=False, description="`system` is a periodic job.")]
    id: Annotated[
        UUID | None,
        Field(
            description="The user, or the owner of the API key; null: the system. Without "
            "`orders:read-all`, null for everybody but the caller."
        ),
    ]


class HistoryEntry(Shape):
    """One change of the status of an order."""

    version: Annotated[int, Field(description="The order's version after the change.")]
    status: Annotated[Status, Field(description="The order's status after the change.")]
    at: datetime
    actor: HistoryActor
    reason: Annotated[
        str | None,
        Field(
            description="In the words of who changed it. A cancellation without words has "
            "`customer`, `support`, `not_confirmed` or `customer_inactive`."
        ),
    ]

    @classmethod
    def of(cls, entry: OrderHistoryEntry, *, shown: Callable[[UUID | None], bool]) -> Self:
        """Return the entry as the API shows it.

        Args:
            entry: the entry.
            shown: whether the reader may know this user.
        """
        actor_id = entry.actor_id if shown(entry.actor_id) else None
        return cls(
            version=entry.version,
            status=OrderStatus(entry.status),
            at=entry.created_at,
            actor=HistoryActor(kind=ActorKind(entry.actor_kind), id=actor_id),
            reason=entry.reason,
        )


class History(Shape):
    """The changes of the status of an order, the oldest first."""

    items: list[HistoryEntry]


class ExportedOrder(Shape):
    """An order in the export of a customer's data."""

    order: OrderOut
    history: list[HistoryEntry]

    @classmethod
    def of(cls, exported: OrderWithHistory) -> Self:
        """Return the order as its customer may see it."""
        order = exported.order
        return cls(
            order=OrderOut.model_validate(order),
            history=[
                HistoryEntry.of(entry, shown=lambda user: user == order.customer_id)
                for entry in exported.history
            ],
        )
