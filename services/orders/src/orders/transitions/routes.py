"""HTTP routes that change the status of orders, and the one that reads their history."""

from typing import Annotated
from uuid import UUID

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.errors import PreconditionFailed
from chassis.http import ExpectedVersion, Idempotent, Router, acting, problems
from orders.orders.errors import OrderNotFound
from orders.orders.models import TRANSITIONS, OrderStatus, life_cycle
from orders.orders.schemas import OrderOut
from orders.transitions.errors import DuplicateOrder, InvalidTransition
from orders.transitions.models import Change
from orders.transitions.schemas import (
    History,
    HistoryEntry,
    NewTransitions,
    Reason,
    TransitionResult,
    TransitionResults,
)
from orders.transitions.wiring import Transitions

router = Router(prefix="/api/v1/orders", tags=["orders"])

Reader = Annotated[Principal, require_scope("orders:read")]
Writer = Annotated[Principal, require_scope("orders:write")]
Canceller = Annotated[Actor, acting("orders:write")]
Fulfiller = Annotated[Actor, acting("orders:fulfil")]

_ERRORS = problems(OrderNotFound, InvalidTransition, PreconditionFailed)


def _description(to: OrderStatus, scope: str) -> str:
    rule = TRANSITIONS[to]
    sources = " or ".join(f"`{source}`" for source in rule.sources)
    stock = " Its stock can be sold again." if rule.returns_stock else ""
    return (
        f"Change the status of an order from {sources} to `{to}`.{stock} With `If-Match`, only if "
        f"the order still has that version. {scope}"
    )


@router.post(
    "/{order_id}/cancel",
    operation_id="cancelOrder",
    summary="Cancel an order",
    description=_description(
        OrderStatus.CANCELLED,
        "Scope: `orders:write`; with `orders:fulfil` anybody's order.",
    ),
    idempotent=Idempotent.OPTIONAL,
    versioned=True,
    responses=_ERRORS,
)
async def cancel_order(
    order_id: UUID,
    caller: Writer,
    actor: Canceller,
    expected: ExpectedVersion,
    transitions: Transitions,
    body: Reason | None = None,
) -> OrderOut:
    """Cancel one of the caller's orders, or anybody's."""
    cancels_all = "orders:fulfil" in caller.scopes
    order = await transitions.advance(
        Change(
            order_id=order_id,
            to=OrderStatus.CANCELLED,
            expected=expected,
            reason=None if body is None else body.reason,
        ),
        by=actor,
        customer_id=None if cancels_all else caller.user_id,
    )
    return OrderOut.model_validate(order)


def _fulfilment(to: OrderStatus) -> None:
    """Declare the route of a transition that only support may make."""
    verb = TRANSITIONS[to].verb

    @router.post(
        f"/{{order_id}}/{verb}",
        operation_id=f"{verb}Order",
        summary=f"{verb.capitalize()} an order",
        description=_description(to, "Scope: `orders:fulfil`."),
        idempotent=Idempotent.OPTIONAL,
        versioned=True,
        responses=_ERRORS,
    )
    async def advance_order(
        order_id: UUID,
        actor: Fulfiller,
        expected: ExpectedVersion,
        transitions: Transitions,
        body: Reason | None = None,
    ) -> OrderOut:
        reason = None if body is None else body.reason
        change = Change(order_id=order_id, to=to, expected=expected, reason=reason)
        return OrderOut.model_validate(await transitions.advance(change, by=actor))


for _to in TRANSITIONS:
    if _to is not OrderStatus.CANCELLED:
        _fulfilment(_to)


@router.post(
    "/transitions",
    operation_id="transitionOrders",
    summary="Change the status of several orders",
    description="Change the status of up to 100 orders in one transaction. Each item has a result "
    "of its own: an item that can't be carried out has an `error`, and the others are carried out. "
    f"Scope: `orders:fulfil`.\n\nThe life cycle of an order:\n\n{life_cycle()}\n\nAnything else is "
    "refused with `invalid-transition`.",
    idempotent=Idempotent.OPTIONAL,
    responses=problems(DuplicateOrder),
)
async def transition_orders(
    body: NewTransitions, actor: Fulfiller, transitions: Transitions
) -> TransitionResults:
    """Change the status of each order that allows it."""
    outcomes = await transitions.advance_all([item.change() for item in body.items], by=actor)
    return TransitionResults(items=[TransitionResult.of(outcome) for outcome in outcomes])


@router.get(
    "/{order_id}/history",
    operation_id="getOrderHistory",
    summary="Read an order's history",
    responses=problems(OrderNotFound),
)
async def get_order_history(order_id: UUID, caller: Reader, transitions: Transitions) -> History:
    """Who changed the status of the order, when and why; the oldest change first.

    Scope: `orders:read`; with `orders:read-all` anybody's order.
    """
    reads_all = "orders:read-all" in caller.scopes
    entries = await transitions.history(order_id, customer_id=None if reads_all else caller.user_id)
    return History(
        items=[
            HistoryEntry.of(entry, shown=lambda user: reads_all or user == caller.user_id)
            for entry in entries
        ]
    )
