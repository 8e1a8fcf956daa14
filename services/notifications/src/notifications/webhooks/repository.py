"""All SQL on webhooks."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from chassis.database.unit import Unit
from chassis.paging import ListOrder, PageRequest, PageRows, TimePosition, each_page
from notifications.webhooks.models import OVERLAP, Webhook

_NEWEST_FIRST = ListOrder(TimePosition, Webhook.created_at, Webhook.id, descending=True)
_FORGET_PREVIOUS = """
    UPDATE webhooks SET previous_secret = NULL, previous_secret_until = NULL
    WHERE id = ANY (ARRAY(
        SELECT id FROM webhooks
        WHERE previous_secret IS NOT NULL AND previous_secret_until <= now()
        ORDER BY previous_secret_until LIMIT $1 FOR UPDATE SKIP LOCKED
    ))
"""
HAS_WEBHOOK = """EXISTS (
    SELECT FROM webhooks AS h WHERE h.user_id = w.user_id AND h.disabled_reason IS NULL
)"""
"""The part of a statement that says whether the user of ``w`` has a webhook that is enabled."""


class _Columns(TypedDict, total=False):
    url: str
    description: str
    types: list[str]
    disabled_reason: str | None
    disabled_at: datetime | None
    failing_runs: int
    paused_until: datetime | None


class WebhookRepository:
    """The webhooks of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def count(self, user_id: UUID) -> int:
        """Return how many webhooks a user has."""
        statement = select(func.count()).where(Webhook.user_id == user_id)
        return (await self._unit.session.scalars(statement)).one()

    async def add(self, webhook: Webhook) -> Webhook:
        """Insert a webhook, and return it."""
        statement = (
            insert(Webhook)
            .values(
                id=webhook.id,
                user_id=webhook.user_id,
                url=webhook.url,
                description=webhook.description,
                types=webhook.types,
                secret=webhook.secret,
            )
            .returning(Webhook)
        )
        return (await self._unit.session.scalars(statement)).one()

    async def find(self, webhook_id: UUID, *, user_id: UUID, lock: bool = False) -> Webhook | None:
        """Return a webhook of a user, or None. With `lock`, nobody else changes it."""
        statement = select(Webhook).where(Webhook.id == webhook_id, Webhook.user_id == user_id)
        if lock:
            statement = statement.with_for_update(key_share=True).execution_options(
                populate_existing=True  # what this transaction read before the lock may be old
            )
        return await self._unit.session.scalar(statement)

    async def page(
        self, user_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[Webhook, TimePosition]:
        """Return a page of a user's webhooks, newest first."""
        owned = select(Webhook).where(Webhook.user_id == user_id)
        return await _NEWEST_FIRST.page(self._unit.session, owned, wanted)

    async def each_of(self, user_id: UUID) -> AsyncIterator[Webhook]:
        """Yield all webhooks of a user, newest first."""
        async for page in each_page(lambda wanted: self.page(user_id, wanted)):
            for webhook in page:
                yield webhook

    async def change(self, webhook: Webhook, **columns: Unpack[_Columns]) -> Webhook:
        """Write columns of a locked webhook, raise its version by one, and return it."""
        return await self._write(webhook, **columns)

    async def rotate(self, webhook: Webhook, *, secret: bytes) -> Webhook:
        """Store a new secret of a locked webhook; the one before signs as well for OVERLAP."""
        return await self._write(
            webhook,
            secret=secret,
            previous_secret=Webhook.secret,
            previous_secret_until=func.now() + OVERLAP,
        )

    async def _write(self, webhook: Webhook, **values: Any) -> Webhook:  # noqa: ANN401 - columns
        statement = (
            update(Webhook)
            .where(Webhook.id == webhook.id)
            .values(**values, version=Webhook.version + 1, updated_at=func.now())
            .returning(Webhook)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return (await self._unit.session.scalars(statement)).one()

    async def delete(self, webhook_id: UUID, *, user_id: UUID) -> bool:
        """Delete a webhook of a user; return False if there is none.

        It waits for the transactions that are writing a delivery to it.
        """
        statement = (
            delete(Webhook)
            .where(Webhook.id == webhook_id, Webhook.user_id == user_id)
            .returning(Webhook.id)
            .execution_options(synchronize_session=False)
        )
        return (await self._unit.session.scalars(statement)).one_or_none() is not None

    async def erase(self, user_id: UUID) -> None:
        """Delete all webhooks of a user."""
        await self._unit.execute("DELETE FROM webhooks WHERE user_id = $1", user_id)

    async def forget_previous_secrets(self, *, limit: int) -> int:
        """Erase up to `limit` replaced secrets whose overlap is over; return how many."""
        return await self._unit.execute(_FORGET_PREVIOUS, limit)
