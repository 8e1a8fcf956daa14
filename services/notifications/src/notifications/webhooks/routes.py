"""A user's own webhooks over HTTP. An API key can't change where notifications are sent."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Query, Response

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.errors import Invalid, LogInRequired, PreconditionFailed
from chassis.http import ExpectedVersion, Page, PageQuery, Pages, Router, acting_in_person, problems
from chassis.http.caching import NO_STORE
from chassis.paging import TimePosition
from chassis.wire_names import MERGE_PATCH
from notifications.feed.errors import AccountDeleted
from notifications.kinds.wiring import SCOPE
from notifications.webhooks.errors import TooManyWebhooks, WebhookNotFound, WebhooksUnavailable
from notifications.webhooks.schemas import (
    NewWebhook,
    WebhookOut,
    WebhookPatch,
    WebhookSecret,
    changes_in,
)
from notifications.webhooks.service import WebhookWithSecret
from notifications.webhooks.wiring import Webhooks

router = Router(prefix="/api/v1/webhooks", tags=["webhooks"])

Reader = Annotated[Principal, require_scope(SCOPE)]
Person = Annotated[Actor, acting_in_person(SCOPE)]
_MERGE_PATCH = Body(media_type=MERGE_PATCH)


@router.post(
    "",
    status_code=201,
    operation_id="createWebhook",
    summary="Create a webhook",
    versioned=True,
    responses=problems(
        Invalid, AccountDeleted, TooManyWebhooks, LogInRequired, WebhooksUnavailable
    ),
)
async def create(
    body: NewWebhook, caller: Reader, _: Person, webhooks: Webhooks, response: Response
) -> WebhookSecret:
    """Have your notifications sent to a URL, signed by the scheme of Standard Webhooks.

    The response contains the secret that verifies the signatures. Store it: it can't be read again.
    """
    created = await webhooks.create(
        caller.user_id, url=body.url, description=body.description, types=body.types
    )
    response.headers["Location"] = f"{router.prefix}/{created.webhook.id}"
    return _shown(created, response)


@router.get("", operation_id="listWebhooks", summary="List your webhooks")
async def list_webhooks(
    query: Annotated[PageQuery, Query()], caller: Reader, webhooks: Webhooks, pages: Pages
) -> Page[WebhookOut]:
    """Your webhooks, newest first."""
    found = await webhooks.page(caller.user_id, query.page(TimePosition))
    return pages.write(found, WebhookOut.model_validate, query=query)


@router.get(
    "/{webhook_id}",
    operation_id="getWebhook",
    summary="Read a webhook",
    versioned=True,
    responses=problems(WebhookNotFound),
)
async def read(webhook_id: UUID, caller: Reader, webhooks: Webhooks) -> WebhookOut:
    """One of your webhooks, without its secret."""
    return WebhookOut.model_validate(await webhooks.get(webhook_id, user_id=caller.user_id))


@router.patch(
    "/{webhook_id}",
    operation_id="updateWebhook",
    summary="Change, disable or enable a webhook",
    versioned=True,
    responses=problems(Invalid, WebhookNotFound, PreconditionFailed, LogInRequired),
)
async def change(
    webhook_id: UUID,
    body: Annotated[WebhookPatch, _MERGE_PATCH],
    caller: Reader,
    _: Person,
    webhooks: Webhooks,
    expected: ExpectedVersion,
) -> WebhookOut:
    """Change a webhook, by JSON Merge Patch (RFC 7396).

    While a webhook is disabled, no deliveries are made for it, and those that wait fail. They can
    be redelivered once it is enabled.
    """
    changed = await webhooks.change(
        webhook_id, user_id=caller.user_id, expected=expected, **changes_in(body)
    )
    return WebhookOut.model_validate(changed)


@router.post(
    "/{webhook_id}/secret",
    operation_id="rotateWebhookSecret",
    summary="Replace a webhook's secret",
    versioned=True,
    responses=problems(WebhookNotFound, PreconditionFailed, LogInRequired, WebhooksUnavailable),
)
async def rotate_secret(
    webhook_id: UUID,
    caller: Reader,
    _: Person,
    webhooks: Webhooks,
    expected: ExpectedVersion,
    response: Response,
) -> WebhookSecret:
    """Replace the secret. For 24 hours, requests are signed with the new one and the one before.

    The response contains the new secret. Store it: it can't be read again.
    """
    rotated = await webhooks.rotate(webhook_id, user_id=caller.user_id, expected=expected)
    return _shown(rotated, response)


@router.delete(
    "/{webhook_id}",
    status_code=204,
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    responses=problems(WebhookNotFound, LogInRequired),
)
async def delete(webhook_id: UUID, caller: Reader, _: Person, webhooks: Webhooks) -> None:
    """Delete a webhook and its deliveries. A request that is being sent may still arrive."""
    await webhooks.delete(webhook_id, user_id=caller.user_id)


def _shown(made: WebhookWithSecret, response: Response) -> WebhookSecret:
    response.headers["Cache-Control"] = NO_STORE
    view = WebhookOut.model_validate(made.webhook)
    return WebhookSecret(**dict(view), secret=made.secret)
