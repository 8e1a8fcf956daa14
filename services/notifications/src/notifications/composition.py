"""The composition root: opens the resources of both processes, and starts the feed's tasks."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.messaging.wakeup import listen
from chassis.process import Process
from chassis.wiring import ServiceResources
from notifications.feed.jobs import FeedReader
from notifications.feed.service import CHANNEL, Connections, SocketMetrics
from notifications.feed.wiring import Resources
from notifications.kinds.service import NotificationMetrics, NotificationTexts
from notifications.mail_servers.models import SmtpServer
from notifications.mail_servers.service import MailServer
from notifications.mail_texts.service import MailTexts
from notifications.mails.service import MailMetrics
from notifications.mails.wiring import WorkerResources
from notifications.settings import NotificationsSettings

_NO_SENDER = "no-reply@localhost"  # no mail is sent while SMTP_SERVER is not set


@asynccontextmanager
async def open_resources(
    common: ServiceResources, settings: NotificationsSettings, process: Process
) -> AsyncIterator[Resources]:
    """Open the API process's resources, and start the live feed's reader and listener."""
    connections = Connections(
        limit=settings.feed_sockets,
        limit_per_user=settings.feed_sockets_per_user,
        metrics=SocketMetrics(process.registry),
    )
    reader = FeedReader(
        connections=connections,
        database=common.database,
        verifier=common.verifier,
        poll_seconds=settings.feed_poll_seconds,
    )
    name = f"{process.name}-feed"
    listener = listen(common.database.direct, name, CHANNEL, connections.hint)
    process.start(listener, name="feed-listener")
    process.start(reader.run(), name="feed-reader")
    yield common.extended(Resources, settings=settings, connections=connections)


@asynccontextmanager
async def open_worker_resources(
    common: ServiceResources, settings: NotificationsSettings, process: Process
) -> AsyncIterator[WorkerResources]:
    """Open the worker's resources: what writes notifications and sends mails."""
    sender = settings.smtp_from or _NO_SENDER
    # All three read files.
    notification_texts = await asyncio.to_thread(NotificationTexts)
    texts = await asyncio.to_thread(MailTexts, sender=sender, public_url=settings.public_url)
    server = await asyncio.to_thread(_smtp_server, settings)
    yield common.extended(
        WorkerResources,
        notification_texts=notification_texts,
        notification_metrics=NotificationMetrics(process.registry),
        mail_texts=texts,
        mail_server=MailServer(server=server),
        mail_metrics=MailMetrics(process.registry),
    )


def _smtp_server(settings: NotificationsSettings) -> SmtpServer | None:
    if settings.smtp_server is None:
        return None
    host, _, port = settings.smtp_server.rpartition(":")
    authorities = None if settings.smtp_ca_file is None else str(settings.smtp_ca_file)
    return SmtpServer(
        host=host,
        port=int(port),
        encryption=settings.smtp_tls,
        tls_context=ssl.create_default_context(cafile=authorities),
        username=settings.smtp_username,
        password=lambda: settings.secret("smtp_password"),
        timeout=settings.smtp_timeout,
    )
