"""The declaration of the orders service: routes, subscriptions, jobs, snapshots and exports."""

from datetime import timedelta

from chassis.exports import Export
from chassis.jobs import JobKinds, OutsideJob, Schedule
from chassis.messaging import Subscription, Subscriptions
from chassis.operations.replays import Snapshot
from chassis.service import Composition, Service
from chassis.verification.declared import Aggregate, Rows, Verification
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
    ProductUpdated,
)
from contracts.users import (
    SessionRevoked,
    UserApiKeyCreated,
    UserDeactivated,
    UserDeleted,
    UserEmailChanged,
    UserEmailVerified,
    UserPasswordChanged,
    UserProfileUpdated,
    UserReactivated,
    UserRegistered,
    UserRolesChanged,
    UserSecondFactorChanged,
    UserSnapshot,
)
from orders.catalog import routes as catalog
from orders.catalog.repository import ADJUSTED, LEVELS
from orders.catalog.wiring import products
from orders.composition import open_api_resources, open_resources
from orders.customers.models import CloseAccountOrders
from orders.customers.subscribers import (
    user_deactivated,
    user_deleted,
    user_reactivated,
    user_registered,
    user_snapshot,
)
from orders.documentation import DOCUMENTATION
from orders.metadata import Base
from orders.orders import routes as orders_routes
from orders.orders.repository import RETURNED, SOLD, VERSIONS
from orders.orders.wiring import orders
from orders.resources import OrdersResources, WorkerResources
from orders.settings import OrdersSettings
from orders.stock import routes as stock
from orders.transitions import routes as transitions
from orders.transitions.jobs import cancel_unconfirmed, close_account_orders
from orders.transitions.models import CancelUnconfirmed
from orders.transitions.repository import TransitionRepository
from orders.transitions.schemas import ExportedOrder
from orders.transitions.service import order_export

_SNAPSHOTS = (
    Snapshot[WorkerResources](
        ProductSnapshot,
        lambda unit, resources, after, limit: products(resources, unit).snapshots(
            after=after, limit=limit
        ),
    ),
    Snapshot[WorkerResources](
        OrderSnapshot,
        lambda unit, resources, after, limit: orders(resources, unit).snapshots(
            after=after, limit=limit
        ),
    ),
)
_EXPORTS: tuple[Export[OrdersResources], ...] = (
    Export(
        name="orders",
        item=ExportedOrder,
        scope="orders:read",
        read=lambda unit, resources, person: order_export(
            orders(resources, unit), TransitionRepository(unit), person
        ),
        show=ExportedOrder.of,
    ),
)
_SUBSCRIPTIONS: Subscriptions[WorkerResources] = Subscriptions(
    handled=[
        Subscription(UserRegistered, user_registered),
        Subscription(UserSnapshot, user_snapshot),
        # Their handlers compare versions, so an account that ended needs no earlier event, and one
        # that is active again is not kept inactive by a message that failed.
        Subscription(UserDeactivated, user_deactivated, overtakes=True),
        Subscription(UserReactivated, user_reactivated, overtakes=True),
        Subscription(UserDeleted, user_deleted, overtakes=True),
    ],
    ignored=[
        # Orders needs no names, roles or credentials: the token carries the scopes, the order the
        # address.
        UserEmailVerified,
        UserProfileUpdated,
        UserEmailChanged,
        UserRolesChanged,
        UserPasswordChanged,
        UserSecondFactorChanged,
        UserApiKeyCreated,
    ],
)

_JOBS: JobKinds[WorkerResources] = JobKinds(
    kinds=[
        OutsideJob(CancelUnconfirmed, cancel_unconfirmed, time_limit=600),
        OutsideJob(CloseAccountOrders, close_account_orders, time_limit=600),
    ],
    schedules=[Schedule(arguments=CancelUnconfirmed(), every=timedelta(minutes=1))],
)
_VERIFICATION = Verification(
    aggregates=[
        Aggregate(
            name="order",
            events=[
                OrderPlaced,
                OrderConfirmed,
                OrderShipped,
                OrderDelivered,
                OrderCancelled,
                OrderRefunded,
                OrderSnapshot,
            ],
            rows=[Rows(sql=VERSIONS)],
        ),
        Aggregate(
            name="product",
            events=[ProductStockChanged, ProductUpdated, ProductSnapshot],
            rows=[Rows(sql=LEVELS)],
            level=lambda event: event.stock,
            causes=[Rows(sql=SOLD), Rows(sql=RETURNED), Rows(sql=ADJUSTED, recent=True)],
        ),
    ]
)

SERVICE = Service(
    name="orders",
    title="Orders",
    about="The catalogue with its stock, and the orders that customers place.",
    documentation=DOCUMENTATION,
    metadata=Base.metadata,
    routers=[catalog.router, stock.router, orders_routes.router, transitions.router],
    api=Composition(settings=OrdersSettings, extend=open_api_resources),
    worker=Composition(settings=OrdersSettings, extend=open_resources),
    subscriptions=_SUBSCRIPTIONS,
    jobs=_JOBS,
    snapshots=_SNAPSHOTS,
    exports=_EXPORTS,
    verification=_VERIFICATION,
    ended_sessions=SessionRevoked,
)
