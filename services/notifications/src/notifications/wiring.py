"""Puts the service's parts together: for a process, and for each transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.auth import Principal, require_scope
from chassis.http import SessionDep
from chassis.messaging.wakeup import listen
from chassis.process import Process
from chassis.wiring import ServiceResources, open_service
from contracts.users import SessionRevoked
from notifications.feed.jobs import FeedReader
from notifications.feed.repository import FeedRepository
from notifications.feed.service import CHANNEL, Connections, Feed
from notifications.recipients.repository import RecipientRepository
from notifications.recipients.service import RecipientService
from notifications.repository import NotificationRepository
from notifications.service import NotificationService, Notifier
from notifications.settings import NotificationsSettings

SERVICE = "notifications"
SCOPE = "notifications:read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(ServiceResources):
    """What each process of this service holds."""

    settings: NotificationsSettings

    def feed(self, session: AsyncSession) -> Feed:
        """Make the feed of one transaction."""
        return Feed(session=session, entries=FeedRepository(session), wakeups=self.wakeups)

    def notifier(self, session: AsyncSession) -> Notifier:
        """Give the one notifier of a transaction: it writes for all of a batch's messages."""
        if Notifier not in session.info:
            session.info[Notifier] = Notifier(
                session=session,
                notifications=NotificationRepository(session),
                feed=self.feed(session),
                outbox=self.outbox(session),
            )
        notifier: Notifier = session.info[Notifier]
        return notifier

    def recipients(self, session: AsyncSession) -> RecipientService:
        """Make the use cases of recipients for one transaction."""
        return RecipientService(recipients=RecipientRepository(session))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResources(Resources):
    """What the API process holds beside that: the sockets of the feed."""

    connections: Connections


@asynccontextmanager
async def open_resources(
    settings: NotificationsSettings, process: Process
) -> AsyncIterator[Resources]:
    """Open what a worker needs."""
    common_parts = open_service(settings, process, service=SERVICE, sessions=SessionRevoked)
    async with common_parts as base:
        yield Resources(
            service=base.service,
            database=base.database,
            verifier=base.verifier,
            wakeups=base.wakeups,
            settings=settings,
        )


@asynccontextmanager
async def open_api_resources(
    settings: NotificationsSettings, process: Process
) -> AsyncIterator[ApiResources]:
    """Open what the API needs: the same, and the feed's reader and listener."""
    async with open_resources(settings, process) as base:
        connections = Connections()
        reader = FeedReader(
            connections=connections,
            database=base.database,
            verifier=base.verifier,
            poll_seconds=settings.feed_poll_seconds,
        )
        listener = listen(settings.direct_dsn, f"{process.name}-feed", CHANNEL, connections.hint)
        process.start(listener, name="feed-listener")
        process.start(reader.run(), name="feed-reader")
        yield ApiResources(
            service=base.service,
            database=base.database,
            verifier=base.verifier,
            wakeups=base.wakeups,
            settings=settings,
            connections=connections,
        )


def _resources(connection: HTTPConnection) -> ApiResources:
    resources: ApiResources = connection.app.state.resources
    return resources


def _notifications(session: SessionDep) -> NotificationService:
    return NotificationService(notifications=NotificationRepository(session))


ResourcesDep = Annotated[ApiResources, Depends(_resources)]
NotificationsDep = Annotated[NotificationService, Depends(_notifications)]
Reader = Annotated[Principal, require_scope(SCOPE)]
