"""Construct the use cases of webhooks, and the API process's resources for them."""

from dataclasses import dataclass
from typing import Annotated

from chassis.auth.secret_keys import SecretKeys
from chassis.database.unit import Unit
from chassis.wiring import use_case
from notifications.feed import wiring as feed
from notifications.receivers.models import CallRules
from notifications.webhooks.repository import WebhookRepository
from notifications.webhooks.service import WebhookService


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(feed.Resources):
    """The API process's resources, with the rules and the keys of webhooks."""

    call_rules: CallRules
    webhook_keys: SecretKeys | None


def webhooks(resources: Resources, unit: Unit) -> WebhookService:
    """Return the use cases of a user's own webhooks for one transaction."""
    return WebhookService(
        webhooks=WebhookRepository(unit),
        feed=feed.feed(resources, unit),
        jobs=resources.jobs(unit),
        rules=resources.call_rules,
        keys=resources.webhook_keys,
    )


Webhooks = Annotated[WebhookService, use_case(webhooks)]
