"""The table of webhooks, their secrets, and the jobs that other nouns run for them."""

import base64
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, Integer, LargeBinary, Text, false, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from chassis.jobs import JobArguments
from notifications.metadata import Base

MAX_WEBHOOKS = 10
"""The largest number of webhooks of one user."""

OVERLAP = timedelta(hours=24)
"""How long requests are also signed with the secret that a rotation replaced."""

QUEUE = "webhooks"
SLOTS = 64
"""How many webhooks one worker calls at a time."""


_SECRET_BYTES = 32
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how secrets begin


class DisabledReason(StrEnum):
    """Why a webhook is disabled."""

    OWNER = "owner"
    """Its owner disabled it."""
    GONE = "gone"
    """The receiver responded with 410: it wants no more requests."""
    FAILING = "failing"
    """The receiver accepted nothing for a day."""


class Webhook(Timestamped, Base):
    """A URL to which notifications of a user are sent.

    Attributes:
        types: the types of notifications that are sent; empty: all.
        secret: signs the requests; encrypted, see ``SecretKeys``.
        previous_secret: the secret before, which also signs until `previous_secret_until`.
        disabled_reason: null means that the webhook is enabled.
        failing_runs: how many runs in a row had failures alone.
        paused_until: nothing is sent before; set after such a run.
        last_success_at: when the receiver last accepted a request.
        is_slow: whether the last run had a slow response.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint(
            "disabled_reason IN ('owner', 'gone', 'failing')", name="disabled_reason_known"
        ),
        CheckConstraint(
            "(previous_secret IS NULL) = (previous_secret_until IS NULL)",
            name="previous_secret_has_an_end",
        ),
        # For the list of a user's webhooks, and for those of a notification's user.
        Index("ix_webhooks_user_id_created_at_id", "user_id", "created_at", "id"),
        Index(
            "ix_webhooks_previous_secret_until",
            "previous_secret_until",
            postgresql_where=text("previous_secret IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    previous_secret_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failing_runs: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    paused_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_success_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    is_slow: Mapped[bool] = mapped_column(server_default=false())
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))

    @property
    def enabled(self) -> bool:
        """Whether notifications are sent to it."""
        return self.disabled_reason is None


class WebhookChanges(TypedDict, total=False):
    """What an owner may change; a name that is left out stays as it is."""

    url: str
    description: str
    types: list[str]
    enabled: bool


class SendDeliveries(JobArguments):
    """Send what is due to one webhook. Its unique key is the webhook's id."""

    kind = "notifications.send-deliveries.v1"
    queue = QUEUE

    webhook_id: UUID


class EraseDeliveries(JobArguments):
    """Delete the deliveries of a webhook that was deleted."""

    kind = "notifications.erase-deliveries.v1"

    webhook_id: UUID


class TellWebhookDisabled(JobArguments):
    """Notify a user that a webhook of theirs was disabled, once for each `version` of it."""

    kind = "notifications.tell-webhook-disabled.v1"

    webhook_id: UUID
    user_id: UUID
    reason: DisabledReason
    version: int


def new_secret() -> bytes:
    """Return a new random secret; the scheme asks for 24 to 64 bytes."""
    return secrets.token_bytes(_SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """Return a secret as receivers configure it (Standard Webhooks)."""
    return _SECRET_PREFIX + base64.b64encode(secret).decode()
