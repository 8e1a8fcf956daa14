"""The declaration of the notifications service: routes, subscriptions, jobs and exports."""

from datetime import timedelta

from chassis.exports import Export
from chassis.jobs import InsideJob, JobKinds, OutsideJob, Retry
from chassis.jobs.retention import Retention
from chassis.messaging import FailurePolicy, Subscription, Subscriptions
from chassis.service import Composition, Service
from chassis.verification.declared import Aggregate, Effect, Rows, Verification
from chassis.wiring import ServiceResources
from contracts.notifications import (
    NotificationCreated,
    NotificationDelivered,
    NotificationFailed,
)
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
    USERS_PRIVATE,
    EmailChangeNoticeRequested,
    EmailVerificationRequested,
    PasswordResetRequested,
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
from notifications.announcements import routes as announcements
from notifications.announcements.jobs import prune_announcements
from notifications.composition import open_resources, open_worker_resources
from notifications.deliveries import routes as deliveries
from notifications.deliveries.jobs import erase_deliveries, prune_deliveries
from notifications.deliveries.repository import DeliveryRepository
from notifications.deliveries.schemas import ExportedDelivery
from notifications.dispatch.jobs import send_deliveries
from notifications.dispatch.wiring import WorkerResources
from notifications.documentation import DOCUMENTATION
from notifications.feed.jobs import prune_feed
from notifications.kinds.wiring import SCOPE
from notifications.mail_servers.models import CONNECTIONS
from notifications.mails.jobs import expire_mails, prune_mails, send_mail
from notifications.mails.models import QUEUE as MAIL_QUEUE
from notifications.mails.models import SendMail
from notifications.mails.repository import MailRepository
from notifications.mails.schemas import ExportedMail
from notifications.mails.subscribers import (
    on_email_change_notice_requested,
    on_email_verification_requested,
    on_password_reset_requested,
)
from notifications.metadata import Base
from notifications.notifications import routes as notifications
from notifications.notifications.jobs import (
    erase_user_data,
    mark_all_read,
    prune_notifications,
    tell_webhook_disabled,
)
from notifications.notifications.models import MarkAllRead
from notifications.notifications.repository import (
    CAUSED_BY_ORDERS,
    CAUSED_BY_USERS,
    NotificationRepository,
)
from notifications.notifications.schemas import NotificationOut
from notifications.notifications.subscribers import (
    on_order_cancelled,
    on_order_confirmed,
    on_order_delivered,
    on_order_placed,
    on_order_refunded,
    on_order_shipped,
    on_user_api_key_created,
    on_user_deleted,
    on_user_email_changed,
    on_user_password_changed,
    on_user_second_factor_changed,
)
from notifications.notifications.wiring import write_notifications
from notifications.outcomes.jobs import prune_outcomes
from notifications.outcomes.repository import UNLISTED, VERSIONS
from notifications.preferences import routes as preferences
from notifications.preferences.repository import MAY_HAVE_NONE, PreferenceRepository
from notifications.preferences.schemas import ExportedPreferences
from notifications.recipients.models import EraseUserData
from notifications.recipients.repository import RecipientRepository
from notifications.recipients.schemas import ExportedRecipient
from notifications.recipients.subscribers import (
    on_user_deactivated,
    on_user_email_verified,
    on_user_profile_updated,
    on_user_reactivated,
    on_user_registered,
    on_user_snapshot,
)
from notifications.settings import NotificationsSettings
from notifications.sockets import routes as sockets
from notifications.sockets.schemas import LIVE_FEED
from notifications.streams import routes as streams
from notifications.streams.jobs import prune_stream_tickets
from notifications.unsubscriptions import routes as unsubscriptions
from notifications.webhooks import routes as webhooks
from notifications.webhooks.jobs import forget_previous_secrets
from notifications.webhooks.models import QUEUE as WEBHOOK_QUEUE
from notifications.webhooks.models import (
    SLOTS,
    EraseDeliveries,
    SendDeliveries,
    TellWebhookDisabled,
)
from notifications.webhooks.repository import WebhookRepository
from notifications.webhooks.schemas import WebhookOut

# Each request for a mail stands alone: one that fails must not hold up the next one.
_MAIL_FAILURES = FailurePolicy(skip=True)

_SUBSCRIPTIONS: Subscriptions[WorkerResources] = Subscriptions(
    handled=[
        Subscription(OrderPlaced, on_order_placed),
        Subscription(OrderConfirmed, on_order_confirmed),
        Subscription(OrderShipped, on_order_shipped),
        Subscription(OrderDelivered, on_order_delivered),
        Subscription(OrderCancelled, on_order_cancelled),
        Subscription(OrderRefunded, on_order_refunded),
        Subscription(UserRegistered, on_user_registered),
        Subscription(UserEmailVerified, on_user_email_verified),
        Subscription(UserProfileUpdated, on_user_profile_updated),
        Subscription(UserEmailChanged, on_user_email_changed),
        Subscription(UserPasswordChanged, on_user_password_changed),
        Subscription(UserSecondFactorChanged, on_user_second_factor_changed),
        Subscription(UserApiKeyCreated, on_user_api_key_created),
        Subscription(UserDeactivated, on_user_deactivated),
        Subscription(UserReactivated, on_user_reactivated),
        Subscription(UserSnapshot, on_user_snapshot),
        # These lock the head of a feed before other messages of a batch would lock theirs.
        Subscription(UserDeleted, on_user_deleted, overtakes=True, batched=False),
        Subscription(
            EmailVerificationRequested,
            on_email_verification_requested,
            failure=_MAIL_FAILURES,
            batched=False,
        ),
        Subscription(
            PasswordResetRequested,
            on_password_reset_requested,
            failure=_MAIL_FAILURES,
            batched=False,
        ),
        Subscription(
            EmailChangeNoticeRequested,
            on_email_change_notice_requested,
            failure=_MAIL_FAILURES,
            batched=False,
        ),
    ],
    ignored=[
        # No notifications of these; snapshots repeat old facts.
        ProductStockChanged,
        ProductUpdated,
        ProductSnapshot,
        OrderSnapshot,
        UserRolesChanged,
    ],
    finish=write_notifications,
    # Their messages contain tokens.
    discarded_after={USERS_PRIVATE.name: timedelta(hours=1)},
)

_JOBS: JobKinds[WorkerResources] = JobKinds(
    kinds=[
        # The mail's expiry ends the attempts; their number is only a bound.
        OutsideJob(
            SendMail,
            send_mail,
            retry=Retry(attempts=500, first_delay=5, longest_delay=900),
            time_limit=600,
        ),
        OutsideJob(EraseUserData, erase_user_data, time_limit=600),
        # It fails only if the key of a secret is missing. The retries of a delivery are its own.
        OutsideJob(SendDeliveries, send_deliveries, retry=Retry(attempts=300, longest_delay=300)),
        OutsideJob(EraseDeliveries, erase_deliveries, time_limit=600),
        InsideJob(TellWebhookDisabled, tell_webhook_disabled),
        OutsideJob(MarkAllRead, mark_all_read, time_limit=600),
    ],
    slots={MAIL_QUEUE: CONNECTIONS, WEBHOOK_QUEUE: SLOTS},
)
_EXPORTS: tuple[Export[ServiceResources], ...] = (
    Export(
        name="recipients",
        item=ExportedRecipient,
        scope=SCOPE,
        read=lambda unit, _, person: RecipientRepository(unit).each_of(person),
    ),
    Export(
        name="preferences",
        item=ExportedPreferences,
        scope=SCOPE,
        read=lambda unit, _, person: PreferenceRepository(unit).each_of(person),
    ),
    Export(
        name="notifications",
        item=NotificationOut,
        scope=SCOPE,
        read=lambda unit, _, person: NotificationRepository(unit).each_of(person),
    ),
    Export(
        name="mails",
        item=ExportedMail,
        scope=SCOPE,
        read=lambda unit, _, person: MailRepository(unit).each_of(person),
    ),
    Export(
        name="webhooks",
        item=WebhookOut,
        scope=SCOPE,
        read=lambda unit, _, person: WebhookRepository(unit).each_of(person),
    ),
    Export(
        name="deliveries",
        item=ExportedDelivery,
        scope=SCOPE,
        read=lambda unit, _, person: DeliveryRepository(unit).each_of(person),
    ),
)
_VERIFICATION = Verification(
    aggregates=[
        Aggregate(
            name="notification",
            events=[NotificationCreated, NotificationDelivered, NotificationFailed],
            rows=[Rows(sql=VERSIONS), Rows(sql=UNLISTED)],
            excused=Rows(sql=MAY_HAVE_NONE),
        )
    ],
    effects=[
        Effect(
            name="notification of an order",
            of=[
                OrderPlaced,
                OrderConfirmed,
                OrderShipped,
                OrderDelivered,
                OrderCancelled,
                OrderRefunded,
            ],
            key=lambda event: str(event.customer_id),
            rows=Rows(sql=CAUSED_BY_ORDERS, recent=True),
            excused=Rows(sql=MAY_HAVE_NONE),
        ),
        Effect(
            name="notification of a user",
            of=[
                UserEmailChanged,
                UserPasswordChanged,
                UserSecondFactorChanged,
                UserApiKeyCreated,
            ],
            key=lambda event: str(event.user_id),
            rows=Rows(sql=CAUSED_BY_USERS, recent=True),
            excused=Rows(sql=MAY_HAVE_NONE),
        ),
    ],
)

SERVICE = Service(
    name="notifications",
    title="Notifications",
    about="What happened to a user's orders, as a list, as a live feed and by webhooks.",
    documentation=DOCUMENTATION,
    metadata=Base.metadata,
    routers=[
        preferences.router,
        unsubscriptions.router,
        notifications.router,
        sockets.router,
        streams.router,
        announcements.router,
        webhooks.router,
        deliveries.router,
    ],
    api=Composition(settings=NotificationsSettings, extend=open_resources),
    worker=Composition(settings=NotificationsSettings, extend=open_worker_resources),
    subscriptions=_SUBSCRIPTIONS,
    jobs=_JOBS,
    exports=_EXPORTS,
    verification=_VERIFICATION,
    retention=[
        Retention(name="feed_entries", prune=prune_feed),
        Retention(name="announcements", prune=prune_announcements),
        Retention(name="notifications", prune=prune_notifications),
        Retention(name="outcomes", prune=prune_outcomes),
        Retention(name="stream_tickets", prune=prune_stream_tickets, every=timedelta(minutes=1)),
        Retention(name="mails.token", prune=expire_mails, every=timedelta(minutes=1)),
        Retention(name="mails", prune=prune_mails),
        Retention(
            name="webhooks.previous_secret",
            prune=forget_previous_secrets,
            every=timedelta(minutes=1),
        ),
        Retention(name="deliveries", prune=prune_deliveries),
    ],
    sockets=[LIVE_FEED],
    ended_sessions=SessionRevoked,
)
