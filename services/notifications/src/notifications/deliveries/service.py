"""Use cases of deliveries in one transaction: enqueue, list, test and redeliver. None sends."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chassis.database import new_id
from chassis.jobs import Jobs
from chassis.paging import PageRequest, PageRows, TimePosition
from notifications.deliveries.errors import DeliveryNotFound
from notifications.deliveries.models import TEST_TYPE, Delivery, body_of
from notifications.deliveries.repository import DeliveryRepository
from notifications.kinds.models import Channel, Notice
from notifications.webhooks.errors import WebhookDisabled, WebhookNotFound
from notifications.webhooks.models import SendDeliveries, Webhook
from notifications.webhooks.repository import WebhookRepository


class DeliveryService:
    """The deliveries of one transaction.

    Args:
        deliveries: their repository.
        webhooks: the webhooks of the same transaction.
        jobs: the jobs of the same transaction.
    """

    def __init__(
        self, *, deliveries: DeliveryRepository, webhooks: WebhookRepository, jobs: Jobs
    ) -> None:
        self._deliveries = deliveries
        self._webhooks = webhooks
        self._jobs = jobs

    async def enqueue(self, notices: Sequence[Notice]) -> None:
        """Have notifications sent to the webhooks of their users if the transaction commits.

        It is one statement, and none if no notice is meant for webhooks. A webhook gets those that
        its filter names; a disabled one gets none.
        """
        rows = [_row(notice) for notice in notices if Channel.WEBHOOK in notice.channels]
        if rows and await self._deliveries.enqueue(rows):
            self._jobs.hint(SendDeliveries)

    async def page(
        self, webhook_id: UUID, wanted: PageRequest[TimePosition], *, user_id: UUID
    ) -> PageRows[Delivery, TimePosition]:
        """Return a page of a webhook's deliveries, newest first; or raise WebhookNotFound."""
        await self._webhook(webhook_id, user_id)
        return await self._deliveries.page(webhook_id, wanted)

    async def get(self, delivery_id: UUID, *, webhook_id: UUID, user_id: UUID) -> Delivery:
        """Return a delivery, or raise DeliveryNotFound."""
        found = await self._deliveries.find(delivery_id, webhook_id=webhook_id, user_id=user_id)
        if found is None:
            raise _missing(delivery_id)
        return found

    async def test(self, webhook_id: UUID, *, user_id: UUID) -> Delivery:
        """Have a test request sent, and return its delivery.

        Raises:
            WebhookNotFound: the user has no such webhook.
            WebhookDisabled: nothing is sent to it.
        """
        await self._enabled(webhook_id, user_id)
        delivery_id, now = new_id(), datetime.now(UTC)
        await self._deliveries.add_test(
            delivery_id,
            webhook_id=webhook_id,
            user_id=user_id,
            type_=TEST_TYPE,
            payload=body_of(type_=TEST_TYPE, created_at=now, data={"webhook_id": webhook_id}),
        )
        return await self._sent_soon(delivery_id, webhook_id=webhook_id, user_id=user_id)

    async def redeliver(self, delivery_id: UUID, *, webhook_id: UUID, user_id: UUID) -> Delivery:
        """Have a delivery sent again under its id, with all attempts before it; return it.

        Raises:
            WebhookNotFound: the user has no such webhook.
            WebhookDisabled: nothing is sent to it.
            DeliveryNotFound: the webhook has no such delivery.
        """
        await self._enabled(webhook_id, user_id)
        if not await self._deliveries.begin_again(
            delivery_id, webhook_id=webhook_id, user_id=user_id
        ):
            raise _missing(delivery_id)
        return await self._sent_soon(delivery_id, webhook_id=webhook_id, user_id=user_id)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete deliveries of a user, at most `limit`, and return how many."""
        return await self._deliveries.erase_of_user(user_id, limit=limit)

    async def erase_of_webhook(self, webhook_id: UUID, *, limit: int) -> int:
        """Delete deliveries of a webhook, at most `limit`, and return how many."""
        return await self._deliveries.erase_of_webhook(webhook_id, limit=limit)

    async def _webhook(self, webhook_id: UUID, user_id: UUID, *, lock: bool = False) -> Webhook:
        webhook = await self._webhooks.find(webhook_id, user_id=user_id, lock=lock)
        if webhook is None:
            message = f"You have no webhook {webhook_id}. Take the id from the list of yours."
            raise WebhookNotFound(message)
        return webhook

    async def _enabled(self, webhook_id: UUID, user_id: UUID) -> None:
        """Lock a webhook, so that it is neither deleted nor disabled before the commit."""
        webhook = await self._webhook(webhook_id, user_id, lock=True)
        if not webhook.enabled:
            message = (
                f"The webhook {webhook_id} is disabled ({webhook.disabled_reason}). Enable it by "
                "a PATCH with enabled=true, then send the request again."
            )
            raise WebhookDisabled(message)

    async def _sent_soon(self, delivery_id: UUID, *, webhook_id: UUID, user_id: UUID) -> Delivery:
        await self._jobs.enqueue_soonest(
            SendDeliveries(webhook_id=webhook_id), unique_key=str(webhook_id)
        )
        return await self.get(delivery_id, webhook_id=webhook_id, user_id=user_id)


def _row(notice: Notice) -> dict[str, Any]:
    data = {
        "notification_id": notice.id,
        "event_id": notice.event_id,
        "title": notice.title,
        "body": notice.body,
        "data": notice.data,
    }
    return {
        "user_id": notice.user_id,
        "notification_id": notice.id,
        "source_event_id": notice.source_event_id,
        "type": notice.type,
        "payload": body_of(type_=notice.type, created_at=notice.created_at, data=data),
        "traceparent": notice.traceparent,
    }


def _missing(delivery_id: UUID) -> DeliveryNotFound:
    message = (
        f"The webhook has no delivery {delivery_id}. Take the id from the list of its deliveries."
    )
    return DeliveryNotFound(message)
