"""The shapes of webhooks over HTTP, and in the export of a person's data."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from chassis.http import BoundedInt, Id, Shape
from notifications.kinds.models import KINDS
from notifications.receivers.models import MAX_URL
from notifications.webhooks.models import WebhookChanges

_MAX_TYPE = 100

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="`https`, with a public host, on port 443 or one from 1024, without user name "
        "and fragment.",
    ),
]
Description = Annotated[str, Field(max_length=200, description="For people.")]
Type = Annotated[str, Field(min_length=1, max_length=_MAX_TYPE)]
Types = Annotated[
    list[Type],
    Field(
        max_length=len(KINDS),
        description=f"The types of notifications to send; empty: all. Known: {', '.join(KINDS)}.",
    ),
]
Enabled = Annotated[bool, Field(description="False: nothing is sent.")]


class NewWebhook(Shape):
    """A URL to which one's notifications are sent."""

    url: Url
    description: Description = ""
    types: Types = Field(default_factory=list)


class WebhookPatch(Shape):
    """A JSON Merge Patch (RFC 7396) of a webhook: what is left out stays. Nothing can be null."""

    # Factories, so that the OpenAPI document shows no defaults: an omitted member changes nothing.
    url: Url = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    types: Types = Field(default_factory=list)
    enabled: Enabled = Field(default_factory=bool)


class WebhookOut(Shape):
    """A webhook, without its secret."""

    id: Id
    url: str
    description: str
    types: list[str]
    enabled: bool
    disabled_reason: Literal["owner", "gone", "failing"] | None = Field(
        description="Why it is disabled: by its `owner`; the receiver responded with 410 (`gone`); "
        "or it accepted nothing for a day (`failing`). null: it is enabled."
    )
    disabled_at: datetime | None
    previous_secret_until: datetime | None = Field(
        description="Until when requests are also signed with the secret before; null: they are "
        "not."
    )
    last_success_at: datetime | None = Field(
        description="When the receiver last accepted a request; null: never."
    )
    version: BoundedInt = Field(description="Rises with each change that the ETag shows.")
    created_at: datetime
    updated_at: datetime


class WebhookSecret(WebhookOut):
    """A webhook with its new secret. No other response contains it."""

    secret: Annotated[
        str,
        Field(
            repr=False,
            description="Verifies requests (Standard Webhooks): `whsec_` and base64. Store it: it "
            "can't be read again.",
        ),
    ]


def changes_in(patch: WebhookPatch) -> WebhookChanges:
    """Return what a patch names."""
    changes: WebhookChanges = {}
    given = patch.model_fields_set
    if "url" in given:
        changes["url"] = patch.url
    if "description" in given:
        changes["description"] = patch.description
    if "types" in given:
        changes["types"] = patch.types
    if "enabled" in given:
        changes["enabled"] = patch.enabled
    return changes
