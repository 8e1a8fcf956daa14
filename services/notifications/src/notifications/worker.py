"""The worker of notifications: what it consumes, and the relay of its own events."""

from functools import partial

from starlette.applications import Starlette

from chassis.messaging import Subscription, Subscriptions
from chassis.process import Process, run_worker
from chassis.settings import load
from chassis.worker import create_worker as create_service_worker
from contracts.orders import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRefunded,
    OrderShipped,
    OrderSnapshot,
    ProductSnapshot,
    ProductStockChanged,
)
from contracts.users import (
    UserDeactivated,
    UserDeleted,
    UserEmailChanged,
    UserEmailVerified,
    UserProfileUpdated,
    UserRegistered,
    UserRolesChanged,
    UserSnapshot,
)
from notifications.recipients.subscribers import (
    on_user_profile_updated,
    on_user_registered,
    on_user_snapshot,
)
from notifications.settings import NotificationsSettings
from notifications.subscribers import on_order_placed
from notifications.wiring import Resources, open_resources

SUBSCRIPTIONS: Subscriptions[Resources] = Subscriptions(
    handled=[
        Subscription(OrderPlaced, on_order_placed),
        Subscription(UserRegistered, on_user_registered),
        Subscription(UserProfileUpdated, on_user_profile_updated),
        Subscription(UserSnapshot, on_user_snapshot),
    ],
    ignored=[
        # Nobody is told of stock or roles, nor again of what an order was.
        ProductStockChanged,
        ProductSnapshot,
        OrderSnapshot,
        UserRolesChanged,
        # Nobody publishes these yet.
        OrderConfirmed,
        OrderShipped,
        OrderDelivered,
        OrderCancelled,
        OrderRefunded,
        UserEmailVerified,
        UserEmailChanged,
        UserDeactivated,
        UserDeleted,
    ],
)


def create_worker(settings: NotificationsSettings, process: Process | None = None) -> Starlette:
    """Make the worker."""
    return create_service_worker(
        process=process or Process(name="notifications-worker", settings=settings),
        settings=settings,
        open_resources=partial(open_resources, settings),
        subscriptions=SUBSCRIPTIONS,
    )


def main() -> None:
    """Run the worker until it is told to stop."""
    settings = load(NotificationsSettings)
    process = Process(name="notifications-worker", settings=settings)
    run_worker(process, create_worker(settings, process))


if __name__ == "__main__":
    main()
