"""The composition root: opens the resources of both processes, and starts the feed's tasks."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from chassis.auth.secret_keys import keys_in
from chassis.cancellation import closed_by
from chassis.messaging.wakeup import listen
from chassis.process import Process
from chassis.product import product
from chassis.wiring import ServiceResources
from notifications.dispatch.models import SlowShare
from notifications.dispatch.service import WebhookMetrics
from notifications.dispatch.wiring import WorkerResources
from notifications.feed.jobs import FeedReader, drain_feed
from notifications.feed.models import FeedMetrics
from notifications.feed.service import CHANNEL, TO_ALL, Connections
from notifications.kinds.service import NotificationMetrics, NotificationTexts
from notifications.kinds.wiring import NotifyingResources
from notifications.mail_servers.models import SmtpServer
from notifications.mail_servers.service import MailServer
from notifications.mail_texts.service import MailTexts
from notifications.mails.service import MailMetrics
from notifications.notifications.jobs import AnnouncementReader
from notifications.receivers.service import open_receivers
from notifications.recipients.models import MailRate
from notifications.settings import NotificationsSettings
from notifications.unsubscriptions.models import UnsubscribeTokens
from notifications.webhooks.models import SLOTS
from notifications.webhooks.wiring import Resources

log = structlog.get_logger(__name__)

_NO_SENDER = "no-reply@localhost"  # no mail is sent while SMTP_SERVER is not set


@asynccontextmanager
async def open_resources(
    common: ServiceResources, settings: NotificationsSettings, process: Process
) -> AsyncIterator[Resources]:
    """Open the API process's resources, and start the live feed's reader and listener."""
    connections = Connections(
        limit=settings.feed_sockets,
        limit_per_user=settings.feed_sockets_per_user,
        metrics=FeedMetrics(process.registry),
        reconnect_seconds=settings.feed_reconnect_seconds,
    )
    notifying = common.extended(
        NotifyingResources,
        notification_texts=await asyncio.to_thread(NotificationTexts),  # it reads files
        notification_metrics=NotificationMetrics(process.registry),
    )
    announcements = AnnouncementReader(resources=notifying, connected=connections.users)
    reader = FeedReader(
        connections=connections,
        database=common.database,
        verifier=common.verifier,
        announcements=announcements,
        poll_seconds=settings.feed_poll_seconds,
    )
    name = f"{process.name}-feed"

    def on_hint(payload: str) -> None:
        connections.hint(payload)
        if payload in {"", TO_ALL}:
            announcements.wake()

    listener = listen(common.database.direct, name, CHANNEL, on_hint)
    process.start(listener, name="feed-listener")
    process.start(reader.run(), name="feed-reader")
    process.start(announcements.run(), name="announcements")
    process.start(drain_feed(connections, process.stopping), name="feed-drain")
    yield notifying.extended(
        Resources,
        settings=settings,
        connections=connections,
        announcements=announcements,
        call_rules=settings.call_rules,
        webhook_keys=settings.webhook_secret_keys,
    )


@asynccontextmanager
async def open_worker_resources(
    common: ServiceResources, settings: NotificationsSettings, process: Process
) -> AsyncIterator[WorkerResources]:
    """Open the worker's resources: what writes notifications, and sends mails and webhooks."""
    sender = settings.smtp_from or _NO_SENDER
    # All of them read files.
    notification_texts = await asyncio.to_thread(NotificationTexts)
    texts = await asyncio.to_thread(MailTexts, sender=sender, public_url=settings.public_url)
    server = await asyncio.to_thread(_smtp_server, settings)
    tls = await asyncio.to_thread(_authorities, settings.webhook_ca_file)
    mail_server = MailServer(server=server)
    receiving = open_receivers(
        rules=settings.call_rules, tls=tls, user_agent=f"{product().name}-webhooks/1"
    )
    async with closed_by(mail_server.close), receiving as receivers:
        yield common.extended(
            WorkerResources,
            notification_texts=notification_texts,
            notification_metrics=NotificationMetrics(process.registry),
            mail_texts=texts,
            mail_server=mail_server,
            mail_rate=MailRate(limit=settings.mails_per_minute),
            unsubscribe_tokens=UnsubscribeTokens(keys_in(settings.unsubscribe_keys)),
            mail_metrics=MailMetrics(process.registry),
            receivers=receivers,
            webhook_keys=settings.webhook_secret_keys,
            webhook_metrics=WebhookMetrics(process.registry),
            slow_webhooks=SlowShare(limit=SLOTS // 2),
        )


def _smtp_server(settings: NotificationsSettings) -> SmtpServer | None:
    if settings.smtp_server is None:
        log.warning("mail server not set", setting="SMTP_SERVER")
        return None
    host, _, port = settings.smtp_server.rpartition(":")
    return SmtpServer(
        host=host,
        port=int(port),
        encryption=settings.smtp_tls,
        tls_context=_authorities(settings.smtp_ca_file),
        username=settings.smtp_username,
        password=lambda: settings.secret("smtp_password"),
        timeout=settings.smtp_timeout,
    )


def _authorities(file: Path | None) -> ssl.SSLContext:
    """Return the context that trusts the authorities of a file; None: those of the system."""
    return ssl.create_default_context(cafile=None if file is None else str(file))
