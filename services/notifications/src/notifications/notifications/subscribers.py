"""The handlers of events that notify a user. A transaction writes all notifications at its end."""

from chassis.database.unit import Unit
from chassis.messaging import Delivery
from chassis.wiring import ServiceResources
from contracts.base import Money
from contracts.orders import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
)
from notifications.notifications.wiring import notifier


async def on_order_placed(event: OrderPlaced, delivery: Delivery[ServiceResources]) -> None:
    """Notify the customer that we have received the order."""
    _notify("order.placed", event, delivery, total=_amount(event.total))


async def on_order_confirmed(event: OrderConfirmed, delivery: Delivery[ServiceResources]) -> None:
    """Notify the customer that the order is prepared."""
    _notify("order.confirmed", event, delivery)


async def on_order_shipped(event: OrderShipped, delivery: Delivery[ServiceResources]) -> None:
    """Notify the customer that the order is on its way."""
    _notify("order.shipped", event, delivery)


async def on_order_delivered(event: OrderDelivered, delivery: Delivery[ServiceResources]) -> None:
    """Notify the customer that the order has arrived."""
    _notify("order.delivered", event, delivery)


async def on_order_cancelled(event: OrderCancelled, delivery: Delivery[ServiceResources]) -> None:
    """Notify the customer that the order was cancelled, and why."""
    _notify("order.cancelled", event, delivery, reason=event.reason)


async def on_order_refunded(event: OrderRefunded, delivery: Delivery[ServiceResources]) -> None:
    """Notify the customer of the refund."""
    _notify("order.refunded", event, delivery, amount=_amount(event.amount))


async def write_notifications(unit: Unit, resources: ServiceResources) -> None:
    """Write the notifications that the handlers of this transaction collected."""
    await notifier(resources, unit).write_all()


def _notify(
    type_: str,
    event: OrderEvent,
    delivery: Delivery[ServiceResources],
    **data: object,
) -> None:
    notifier(delivery.resources, delivery.unit).order_changed(
        type_,
        source_event_id=delivery.message.id,
        customer_id=event.customer_id,
        order_id=event.order_id,
        data=data,
    )


def _amount(money: Money) -> dict[str, object]:
    return {"amount": money.amount, "currency": money.currency}
