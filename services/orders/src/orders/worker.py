"""The worker of the orders service: relays its outbox, and learns of customers."""

from collections.abc import Sequence

from starlette.applications import Starlette

from chassis.messaging import Subscription, Subscriptions
from chassis.operations.replays import Snapshot
from chassis.process import Process, run_worker
from chassis.settings import load
from chassis.worker import create_worker as create_service_worker
from contracts.orders import OrderSnapshot, ProductSnapshot
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
from orders.customers.subscribers import user_registered, user_snapshot
from orders.settings import OrdersSettings
from orders.wiring import SERVICE, Resources, open_resources

SNAPSHOTS: Sequence[Snapshot[Resources]] = [
    Snapshot(
        ProductSnapshot,
        lambda session, resources, after, limit: resources.products(session).snapshots(
            after=after, limit=limit
        ),
    ),
    Snapshot(
        OrderSnapshot,
        lambda session, resources, after, limit: resources.orders(session).snapshots(
            after=after, limit=limit
        ),
    ),
]
SUBSCRIPTIONS: Subscriptions[Resources] = Subscriptions(
    handled=[
        Subscription(UserRegistered, user_registered),
        Subscription(UserSnapshot, user_snapshot),
    ],
    ignored=[
        # Names and roles play no part here: scopes come with the token, the address with the order.
        UserEmailVerified,
        UserProfileUpdated,
        UserEmailChanged,
        UserRolesChanged,
        # Nobody publishes these yet.
        UserDeactivated,
        UserDeleted,
    ],
)


def create_worker(settings: OrdersSettings, process: Process | None = None) -> Starlette:
    """Make the worker."""
    return create_service_worker(
        process=process or Process(name=f"{SERVICE}-worker", settings=settings),
        settings=settings,
        open_resources=lambda process: open_resources(settings, process),
        subscriptions=SUBSCRIPTIONS,
        snapshots=SNAPSHOTS,
    )


def main() -> None:
    """Relay and consume until told to stop."""
    settings = load(OrdersSettings)
    process = Process(name=f"{SERVICE}-worker", settings=settings)
    run_worker(process, create_worker(settings, process))


if __name__ == "__main__":
    main()
