"""Construct the use cases of mails, and the worker's resources for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources
from notifications.feed.wiring import feed
from notifications.kinds.wiring import NotifyingResources
from notifications.mail_servers.service import MailServer
from notifications.mail_texts.service import MailTexts
from notifications.mails.repository import MailRepository
from notifications.mails.service import MailMetrics, MailSending, MailService, MailStores
from notifications.outcomes.wiring import outcomes
from notifications.recipients.models import MailRate
from notifications.recipients.repository import RecipientRepository
from notifications.unsubscriptions.models import UnsubscribeTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResources(NotifyingResources):
    """The worker's resources, with what sends mails."""

    mail_texts: MailTexts
    mail_server: MailServer
    mail_rate: MailRate
    mail_metrics: MailMetrics
    unsubscribe_tokens: UnsubscribeTokens


def mails(resources: ServiceResources, unit: Unit) -> MailService:
    """Return the use cases of mails for one transaction."""
    return MailService(
        mails=MailRepository(unit), feed=feed(resources, unit), jobs=resources.jobs(unit)
    )


def mail_sending(resources: WorkerResources) -> MailSending:
    """Return the use case that sends mails, which opens transactions of its own."""

    @asynccontextmanager
    async def transaction() -> AsyncIterator[MailStores]:
        async with resources.database.transaction() as unit:
            yield MailStores(
                mails=MailRepository(unit),
                recipients=RecipientRepository(unit),
                outcomes=outcomes(resources, unit),
            )

    return MailSending(
        transaction=transaction,
        texts=resources.mail_texts,
        tokens=resources.unsubscribe_tokens,
        server=resources.mail_server,
        rate=resources.mail_rate,
        metrics=resources.mail_metrics,
    )
