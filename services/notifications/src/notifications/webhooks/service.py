"""Use cases of a user's own webhooks."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Unpack
from uuid import UUID

from chassis.auth.secret_keys import SecretKeys
from chassis.database import new_id
from chassis.errors import FieldError, Invalid
from chassis.jobs import Jobs
from chassis.paging import PageRequest, PageRows, TimePosition
from chassis.versions import Expected
from notifications.feed.errors import AccountDeleted
from notifications.feed.service import Feed
from notifications.kinds.models import KINDS
from notifications.receivers.errors import UnfitUrlError
from notifications.receivers.models import CallRules
from notifications.webhooks.errors import TooManyWebhooks, WebhookNotFound, WebhooksUnavailable
from notifications.webhooks.models import (
    MAX_WEBHOOKS,
    DisabledReason,
    EraseDeliveries,
    SendDeliveries,
    Webhook,
    WebhookChanges,
    new_secret,
    secret_text,
)
from notifications.webhooks.repository import WebhookRepository


class WebhookWithSecret(NamedTuple):
    """A webhook, and its secret as receivers configure it, which can't be read again."""

    webhook: Webhook
    secret: str


class WebhookService:
    """The webhooks of one transaction.

    Args:
        webhooks: the repository.
        feed: knows whether the account of a user was deleted.
        jobs: the jobs of the same transaction.
        rules: which URLs may be called.
        keys: encrypt the secrets; None if the settings hold none.
    """

    def __init__(
        self,
        *,
        webhooks: WebhookRepository,
        feed: Feed,
        jobs: Jobs,
        rules: CallRules,
        keys: SecretKeys | None,
    ) -> None:
        self._webhooks = webhooks
        self._feed = feed
        self._jobs = jobs
        self._rules = rules
        self._keys = keys

    async def create(
        self, user_id: UUID, *, url: str, description: str, types: Sequence[str]
    ) -> WebhookWithSecret:
        """Create a webhook, and return it with its secret.

        The access token of a deleted account is accepted until the end of its session was
        announced. The lock of the feed keeps the account from being deleted between the check and
        the commit: nothing would erase the webhook afterwards. It also keeps parallel requests
        from creating too many.

        Raises:
            AccountDeleted: the user was deleted.
            Invalid: the URL may not be called, or a type is not known.
            TooManyWebhooks: the user has MAX_WEBHOOKS.
            WebhooksUnavailable: the settings hold no key.
        """
        checked, filters = self._checked_url(url), _checked_types(types)
        if not await self._feed.lock_open(user_id):
            message = "The account was deleted, so it has no webhooks. Log in with another one."
            raise AccountDeleted(message)
        if await self._webhooks.count(user_id) >= MAX_WEBHOOKS:
            message = (
                f"You have {MAX_WEBHOOKS} webhooks, the largest number that you may have. Delete "
                "one first."
            )
            raise TooManyWebhooks(message)
        webhook_id, secret = new_id(), new_secret()
        webhook = await self._webhooks.add(
            Webhook(
                id=webhook_id,
                user_id=user_id,
                url=checked,
                description=description,
                types=filters,
                secret=self._sealed(secret, webhook_id),
            )
        )
        return WebhookWithSecret(webhook, secret_text(secret))

    async def get(self, webhook_id: UUID, *, user_id: UUID) -> Webhook:
        """Return a webhook of a user, or raise WebhookNotFound."""
        return _found(await self._webhooks.find(webhook_id, user_id=user_id), webhook_id)

    async def page(
        self, user_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[Webhook, TimePosition]:
        """Return a page of a user's webhooks, newest first."""
        return await self._webhooks.page(user_id, wanted)

    async def change(
        self,
        webhook_id: UUID,
        *,
        user_id: UUID,
        expected: Expected,
        **changes: Unpack[WebhookChanges],
    ) -> Webhook:
        """Change what an owner may change, and return the webhook.

        If each has the given value already, nothing is written. After a change, a receiver that
        failed is called again without a pause. What waits for a webhook that is disabled fails.

        Raises:
            WebhookNotFound: the user has no such webhook.
            PreconditionFailed: its version is not as `expected`.
            Invalid: as for ``create``.
        """
        if "url" in changes:
            changes["url"] = self._checked_url(changes["url"])
        if "types" in changes:
            changes["types"] = _checked_types(changes["types"])
        webhook = await self._locked(webhook_id, user_id=user_id, expected=expected)
        if all(getattr(webhook, name) == value for name, value in changes.items()):
            return webhook
        reason, since = webhook.disabled_reason, webhook.disabled_at
        if (enabled := changes.get("enabled", webhook.enabled)) != webhook.enabled:
            reason = None if enabled else DisabledReason.OWNER.value
            since = None if enabled else datetime.now(UTC)
        changed = await self._webhooks.change(
            webhook,
            url=changes.get("url", webhook.url),
            description=changes.get("description", webhook.description),
            types=changes.get("types", webhook.types),
            disabled_reason=reason,
            disabled_at=since,
            failing_runs=0,
            paused_until=None,
        )
        await self._jobs.enqueue_soonest(
            SendDeliveries(webhook_id=webhook_id), unique_key=str(webhook_id)
        )
        return changed

    async def rotate(
        self, webhook_id: UUID, *, user_id: UUID, expected: Expected
    ) -> WebhookWithSecret:
        """Replace the secret, and return the webhook with the new one.

        For OVERLAP, requests are signed with both. A second rotation within it ends the first
        secret at once.

        Raises:
            WebhookNotFound: the user has no such webhook.
            PreconditionFailed: its version is not as `expected`.
            WebhooksUnavailable: the settings hold no key.
        """
        webhook = await self._locked(webhook_id, user_id=user_id, expected=expected)
        secret = new_secret()
        rotated = await self._webhooks.rotate(webhook, secret=self._sealed(secret, webhook_id))
        return WebhookWithSecret(rotated, secret_text(secret))

    async def delete(self, webhook_id: UUID, *, user_id: UUID) -> None:
        """Delete a webhook, and have its deliveries deleted; or raise WebhookNotFound."""
        if not await self._webhooks.delete(webhook_id, user_id=user_id):
            raise _missing(webhook_id)
        await self._jobs.enqueue(EraseDeliveries(webhook_id=webhook_id))

    async def _locked(self, webhook_id: UUID, *, user_id: UUID, expected: Expected) -> Webhook:
        found = await self._webhooks.find(webhook_id, user_id=user_id, lock=True)
        webhook = _found(found, webhook_id)
        expected.check(webhook.version)
        return webhook

    def _sealed(self, secret: bytes, webhook_id: UUID) -> bytes:
        if self._keys is None:
            message = "This system has no WEBHOOK_KEYS. Ask its operator to set them."
            raise WebhooksUnavailable(message)
        return self._keys.seal(secret, owner=webhook_id)

    def _checked_url(self, url: str) -> str:
        try:
            return self._rules.check_url(url)
        except UnfitUrlError as error:
            field = FieldError(detail=str(error), pointer="#/url")
            message = f"The URL can't be called: it {error}."
            raise Invalid(message, errors=[field]) from error


def _checked_types(types: Sequence[str]) -> list[str]:
    errors = [
        FieldError(detail="is not a type of notifications", pointer=f"#/types/{place}")
        for place, given in enumerate(types)
        if given not in KINDS
    ]
    if errors:
        message = f"A type is not known. Choose from: {', '.join(sorted(KINDS))}."
        raise Invalid(message, errors=errors)
    return sorted(set(types))


def _found(webhook: Webhook | None, webhook_id: UUID) -> Webhook:
    if webhook is None:
        raise _missing(webhook_id)
    return webhook


def _missing(webhook_id: UUID) -> WebhookNotFound:
    message = f"You have no webhook {webhook_id}. Take the id from the list of your webhooks."
    return WebhookNotFound(message)
