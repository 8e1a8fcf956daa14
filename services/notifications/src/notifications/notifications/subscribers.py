"""The handlers of events that notify a user. A transaction writes all notifications at its end."""

from chassis.messaging import Delivery
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
from contracts.users import (
    UserApiKeyCreated,
    UserDeleted,
    UserEmailChanged,
    UserEvent,
    UserPasswordChanged,
    UserSecondFactorChanged,
)
from notifications.kinds.wiring import NotifyingResources
from notifications.mails.wiring import mails
from notifications.notifications.wiring import notifier
from notifications.recipients.wiring import recipients
from notifications.webhooks.repository import WebhookRepository


async def on_order_placed(event: OrderPlaced, delivery: Delivery[NotifyingResources]) -> None:
    """Notify the customer that we have received the order."""
    _notify("order.placed", event, delivery, total=_amount(event.total))


async def on_order_confirmed(event: OrderConfirmed, delivery: Delivery[NotifyingResources]) -> None:
    """Notify the customer that the order is prepared."""
    _notify("order.confirmed", event, delivery)


async def on_order_shipped(event: OrderShipped, delivery: Delivery[NotifyingResources]) -> None:
    """Notify the customer that the order is on its way."""
    _notify("order.shipped", event, delivery)


async def on_order_delivered(event: OrderDelivered, delivery: Delivery[NotifyingResources]) -> None:
    """Notify the customer that the order has arrived."""
    _notify("order.delivered", event, delivery)


async def on_order_cancelled(event: OrderCancelled, delivery: Delivery[NotifyingResources]) -> None:
    """Notify the customer that the order was cancelled, and why."""
    _notify("order.cancelled", event, delivery, reason=event.reason)


async def on_order_refunded(event: OrderRefunded, delivery: Delivery[NotifyingResources]) -> None:
    """Notify the customer of the refund."""
    _notify("order.refunded", event, delivery, amount=_amount(event.amount))


async def on_user_email_changed(
    event: UserEmailChanged, delivery: Delivery[NotifyingResources]
) -> None:
    """Store a user's new address, and tell them of it."""
    await recipients(delivery.resources, delivery.unit).email_changed(
        event.user_id, email=event.email, version=event.version
    )
    _notify_user("user.email_changed", event, delivery)


async def on_user_password_changed(
    event: UserPasswordChanged, delivery: Delivery[NotifyingResources]
) -> None:
    """Tell a user that the account has another password."""
    _notify_user("user.password_changed", event, delivery, method=event.method)


async def on_user_second_factor_changed(
    event: UserSecondFactorChanged, delivery: Delivery[NotifyingResources]
) -> None:
    """Tell a user that a second factor was added, removed or replaced."""
    _notify_user(
        "user.second_factor_changed", event, delivery, factor=event.factor, change=event.change
    )


async def on_user_api_key_created(
    event: UserApiKeyCreated, delivery: Delivery[NotifyingResources]
) -> None:
    """Tell a user that the account has a new API key."""
    _notify_user(
        "user.api_key_created",
        event,
        delivery,
        api_key_id=str(event.api_key_id),
        expires_at=event.expires_at.isoformat(),
    )


async def on_user_deleted(event: UserDeleted, delivery: Delivery[NotifyingResources]) -> None:
    """Erase a user's data, and notify the user no more."""
    await recipients(delivery.resources, delivery.unit).deleted(
        event.user_id, version=event.version
    )
    await mails(delivery.resources, delivery.unit).erase_waiting(event.user_id)
    await WebhookRepository(delivery.unit).erase(event.user_id)


def _notify(
    type_: str,
    event: OrderEvent,
    delivery: Delivery[NotifyingResources],
    **data: object,
) -> None:
    notifier(delivery.resources, delivery.unit).notify(
        type_,
        user_id=event.customer_id,
        source_event_id=delivery.message.id,
        data={"order_id": str(event.order_id), **data},
        caused_at=delivery.message.time,
    )


def _notify_user(
    type_: str, event: UserEvent, delivery: Delivery[NotifyingResources], **data: object
) -> None:
    notifier(delivery.resources, delivery.unit).notify(
        type_,
        user_id=event.user_id,
        source_event_id=delivery.message.id,
        data=data,
        caused_at=delivery.message.time,
    )


def _amount(money: Money) -> dict[str, object]:
    return {"amount": money.amount, "currency": money.currency}
