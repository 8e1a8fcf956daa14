"""The deliveries of a user's webhooks over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from chassis.auth import Principal, require_scope
from chassis.http import Page, PageQuery, Pages, Router, problems
from chassis.paging import TimePosition
from notifications.deliveries.errors import DeliveryNotFound
from notifications.deliveries.schemas import DeliveryOut
from notifications.deliveries.wiring import Deliveries
from notifications.kinds.wiring import SCOPE
from notifications.webhooks.errors import WebhookDisabled, WebhookNotFound

router = Router(prefix="/api/v1/webhooks/{webhook_id}", tags=["webhooks"])

Reader = Annotated[Principal, require_scope(SCOPE)]


@router.get(
    "/deliveries",
    operation_id="listDeliveries",
    summary="List a webhook's deliveries",
    responses=problems(WebhookNotFound),
)
async def list_deliveries(
    webhook_id: UUID,
    query: Annotated[PageQuery, Query()],
    caller: Reader,
    deliveries: Deliveries,
    pages: Pages,
) -> Page[DeliveryOut]:
    """The deliveries of one of your webhooks with their attempts, newest first.

    They are kept for 30 days after they were delivered or given up.
    """
    found = await deliveries.page(webhook_id, query.page(TimePosition), user_id=caller.user_id)
    return pages.write(found, DeliveryOut.model_validate, query=query)


@router.get(
    "/deliveries/{delivery_id}",
    operation_id="getDelivery",
    summary="Read a delivery",
    responses=problems(DeliveryNotFound),
)
async def read(
    webhook_id: UUID, delivery_id: UUID, caller: Reader, deliveries: Deliveries
) -> DeliveryOut:
    """One delivery with its attempts."""
    found = await deliveries.get(delivery_id, webhook_id=webhook_id, user_id=caller.user_id)
    return DeliveryOut.model_validate(found)


@router.post(
    "/deliveries/{delivery_id}/redeliver",
    status_code=202,
    operation_id="redeliver",
    summary="Send a delivery again",
    responses=problems(WebhookNotFound, DeliveryNotFound, WebhookDisabled),
)
async def redeliver(
    webhook_id: UUID, delivery_id: UUID, caller: Reader, deliveries: Deliveries
) -> DeliveryOut:
    """Send a delivery again with the same `webhook-id`, with all attempts before it.

    One that still waits is due at once.
    """
    again = await deliveries.redeliver(delivery_id, webhook_id=webhook_id, user_id=caller.user_id)
    return DeliveryOut.model_validate(again)


@router.post(
    "/test",
    status_code=202,
    operation_id="testWebhook",
    summary="Send a test request",
    responses=problems(WebhookNotFound, WebhookDisabled),
)
async def test(webhook_id: UUID, caller: Reader, deliveries: Deliveries) -> DeliveryOut:
    """Send a request of the type `webhook.test`; the event filter does not matter.

    It is sent after this response. Read the delivery to see what the receiver responded.
    """
    made = await deliveries.test(webhook_id, user_id=caller.user_id)
    return DeliveryOut.model_validate(made)
