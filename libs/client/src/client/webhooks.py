"""Webhooks, and the deliveries to them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from client.calls import MERGE_PATCH, Calls, if_match, params_of
from client.shapes import Answer, Body, Known, Page
from client.tokens import Token


class DisabledReason(StrEnum):
    """Why a webhook is disabled."""

    OWNER = "owner"
    GONE = "gone"
    FAILING = "failing"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class NewWebhook(Body):
    """A URL to which one's notifications are sent; no `types`: all."""

    url: str
    description: str = ""
    types: tuple[str, ...] = ()


class WebhookChanges(Body):
    """The request body that changes a webhook: fields that are not set stay as they are."""

    url: str | None = None
    description: str | None = None
    types: tuple[str, ...] | None = None
    enabled: bool | None = None


class Webhook(Answer):
    """A webhook, without its secret."""

    id: UUID
    url: str
    description: str
    types: tuple[str, ...]
    enabled: bool
    disabled_reason: Known[DisabledReason] | None
    disabled_at: datetime | None
    previous_secret_until: datetime | None
    last_success_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class WebhookSecret(Webhook):
    """A webhook with its new secret, which can't be read again."""

    secret: str = Field(repr=False)


class Attempt(Answer):
    """One request to a webhook, and what came back; `duration_ms` is in milliseconds."""

    at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response: str | None


class Delivery(Answer):
    """One notification to one webhook; `notification_id` is None for a test call."""

    id: UUID
    webhook_id: UUID
    notification_id: UUID | None
    type: str
    state: Known[DeliveryState]
    attempts: tuple[Attempt, ...]
    next_attempt_at: datetime | None
    created_at: datetime
    settled_at: datetime | None


class WebhookCalls(Calls):
    """The calls that concern webhooks."""

    async def create_webhook(self, token: Token, webhook: NewWebhook) -> WebhookSecret:
        """Create a webhook; return it with its secret."""
        body = webhook.model_dump(mode="json", exclude_unset=True)
        return await self.call(WebhookSecret, "POST", "/webhooks", token=token, json=body)

    async def list_webhooks(
        self, token: Token, *, limit: int = 20, cursor: str | None = None
    ) -> Page[Webhook]:
        """Return one page of the user's webhooks, newest first."""
        params = params_of(limit=limit, cursor=cursor)
        return await self.call(Page[Webhook], "GET", "/webhooks", token=token, params=params)

    async def get_webhook(self, token: Token, webhook_id: UUID) -> Webhook:
        """Return a webhook."""
        return await self.call(Webhook, "GET", f"/webhooks/{webhook_id}", token=token)

    async def update_webhook(
        self,
        token: Token,
        webhook_id: UUID,
        changes: WebhookChanges,
        *,
        version: int | None = None,
    ) -> Webhook:
        """Change a webhook, and return it. With `version`: only if this is still its version."""
        headers = MERGE_PATCH | if_match(version)
        body = changes.model_dump(mode="json", exclude_unset=True)
        path = f"/webhooks/{webhook_id}"
        return await self.call(Webhook, "PATCH", path, token=token, headers=headers, json=body)

    async def delete_webhook(self, token: Token, webhook_id: UUID) -> None:
        """Delete a webhook with its deliveries."""
        await self.send("DELETE", f"/webhooks/{webhook_id}", token=token)

    async def rotate_webhook_secret(
        self, token: Token, webhook_id: UUID, *, version: int | None = None
    ) -> WebhookSecret:
        """Return the webhook with a new secret. For a while both secrets sign its requests."""
        path = f"/webhooks/{webhook_id}/secret"
        headers = if_match(version)
        return await self.call(WebhookSecret, "POST", path, token=token, headers=headers)

    async def test_webhook(self, token: Token, webhook_id: UUID) -> Delivery:
        """Send a test call, and return its delivery, which waits."""
        return await self.call(Delivery, "POST", f"/webhooks/{webhook_id}/test", token=token)

    async def list_deliveries(
        self, token: Token, webhook_id: UUID, *, limit: int = 20, cursor: str | None = None
    ) -> Page[Delivery]:
        """Return one page of a webhook's deliveries, newest first."""
        path = f"/webhooks/{webhook_id}/deliveries"
        params = params_of(limit=limit, cursor=cursor)
        return await self.call(Page[Delivery], "GET", path, token=token, params=params)

    async def get_delivery(self, token: Token, webhook_id: UUID, delivery_id: UUID) -> Delivery:
        """Return a delivery with its attempts."""
        path = f"/webhooks/{webhook_id}/deliveries/{delivery_id}"
        return await self.call(Delivery, "GET", path, token=token)

    async def redeliver(self, token: Token, webhook_id: UUID, delivery_id: UUID) -> Delivery:
        """Send a delivery again, and return it, which waits."""
        path = f"/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"
        return await self.call(Delivery, "POST", path, token=token)
