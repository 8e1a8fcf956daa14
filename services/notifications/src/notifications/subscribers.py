"""Events that a user is told of."""

from chassis.messaging import Delivery
from contracts.orders import OrderPlaced
from notifications.wiring import Resources


async def on_order_placed(event: OrderPlaced, delivery: Delivery[Resources]) -> None:
    """Tell the customer that the order has arrived."""
    delivery.resources.notifier(delivery.session).order_placed(
        source_event_id=delivery.message.id,
        customer_id=event.customer_id,
        order_id=event.order_id,
        total={"amount": event.total.amount, "currency": event.total.currency},
    )
