"""Construct what sends to webhooks, and the worker's resources for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.auth.secret_keys import SecretKeys
from notifications.deliveries.repository import DeliveryRepository
from notifications.dispatch.models import SlowShare
from notifications.dispatch.service import Dispatch, Records, WebhookMetrics
from notifications.mails import wiring as mails
from notifications.outcomes.wiring import outcomes
from notifications.receivers.service import Receivers


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResources(mails.WorkerResources):
    """The worker's resources, with what sends to webhooks."""

    receivers: Receivers
    webhook_keys: SecretKeys | None
    webhook_metrics: WebhookMetrics
    slow_webhooks: SlowShare


def dispatch(resources: WorkerResources) -> Dispatch:
    """Return the use case that sends to webhooks, which opens transactions of its own."""

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Records]:
        async with resources.database.transaction() as unit:
            yield Records(
                deliveries=DeliveryRepository(unit),
                outcomes=outcomes(resources, unit),
                jobs=resources.jobs(unit),
            )

    return Dispatch(
        transaction=transaction,
        reading=resources.database.reading,
        receivers=resources.receivers,
        keys=resources.webhook_keys,
        slow=resources.slow_webhooks,
        metrics=resources.webhook_metrics,
    )
