"""The table of deliveries, when they are retried, and how requests are signed."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.metadata import Base

DELIVERIES_KEPT = timedelta(days=30)
"""How long a delivery is kept after it was accepted or given up."""

TEST_TYPE = "webhook.test"
"""The type of the request that a test call sends."""

DELAYS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 21_600, 36_000)
)
"""The time from each failed attempt to the next one: 11 attempts in about a day."""

LONGEST = timedelta(hours=24)
"""An attempt that fails this long after the delivery was made is the last one."""

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""The longest time that a receiver's Retry-After delays an attempt."""

ATTEMPTS_KEPT = 20
"""How many attempts of one delivery are shown: the last ones."""

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
_MAX_DOUBLINGS = 10
_SPREAD = 0.2
# The system's generator: code that seeds Python's own must not be affected.
_CHANCE = random.SystemRandom()


class DeliveryState(StrEnum):
    """What became of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(Timestamped, Base):
    """One notification to one webhook. Its id is the ``webhook-id`` of all its requests.

    It has no foreign key: to delete a webhook would then delete any number of rows at once. Jobs
    do it in small transactions.

    Attributes:
        notification_id: null for a test call.
        source_event_id: the event that caused the notification; null for a test call. It is unique
            per webhook, so that one event is never delivered twice, even after the inbox has
            deleted the event.
        payload: the request's body. It is stored, so that all attempts send the same bytes.
        attempt_count: the failed attempts that the delays count, since it was last asked for.
        attempts: the last attempts, as ``AttemptOut`` shows them.
        next_attempt_at: null unless it waits.
        deadline: an attempt that fails after it is the last one.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "source_event_id"),
        CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state_known"),
        CheckConstraint(
            "(state = 'waiting') = (next_attempt_at IS NOT NULL)", name="waiting_has_a_time"
        ),
        CheckConstraint("(state = 'waiting') = (settled_at IS NULL)", name="settled_at_a_time"),
        Index("ix_deliveries_webhook_id_created_at_id", "webhook_id", "created_at", "id"),
        Index(
            "ix_deliveries_waiting",
            "webhook_id",
            "next_attempt_at",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_deliveries_settled_at", "settled_at", postgresql_where=text("state <> 'waiting'")
        ),
        Index("ix_deliveries_user_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[UUID]
    user_id: Mapped[UUID]
    notification_id: Mapped[UUID | None]
    source_event_id: Mapped[str | None] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    attempt_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    next_attempt_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=text("now()")
    )
    deadline: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A webhook as it is called.

    Attributes:
        id: the webhook's id.
        user_id: its owner.
        url: where requests go.
        secrets: sign the requests, the newest first; encrypted.
        enabled: whether anything may be sent.
        pause: how long nothing may be sent; not positive if it may.
        failing_runs: how many runs in a row had failures alone.
        is_slow: whether the last run had a slow response.
        last_success_at: when the receiver last accepted a request.
        version: rises with each change by its owner.
    """

    id: UUID
    user_id: UUID
    url: str = field(repr=False)
    secrets: Sequence[bytes] = field(repr=False)
    enabled: bool
    pause: timedelta
    failing_runs: int
    is_slow: bool
    last_success_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery whose time has come.

    Attributes:
        id: the ``webhook-id``.
        notification_id: None for a test call.
        payload: the body.
        attempt_count: the failed attempts so far.
        deadline: its deadline, which is another one when it begins again.
        is_overdue: whether its deadline has passed.
        created_at: when it was made, by the database's clock.
    """

    id: UUID
    notification_id: UUID | None
    payload: str = field(repr=False)
    attempt_count: int
    deadline: datetime
    is_overdue: bool
    created_at: datetime

    @property
    def is_last_attempt(self) -> bool:
        """Whether a failure of the next attempt ends the delivery."""
        return self.is_overdue or self.attempt_count >= len(DELAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookState:
    """The state of a webhook after some attempts.

    Attributes:
        failing_runs: see ``Target``.
        pause: how long nothing may be sent.
        is_slow: whether a response was slow.
        succeeded: whether the receiver accepted a request.
    """

    failing_runs: int
    pause: timedelta
    is_slow: bool
    succeeded: bool


def body_of(*, type_: str, created_at: datetime, data: dict[str, Any]) -> str:
    """Return a request's body, as Standard Webhooks recommends it."""
    timestamp = created_at.astimezone(UTC).isoformat(timespec="microseconds")
    body = {"type": type_, "timestamp": timestamp.replace("+00:00", "Z"), "data": data}
    return json.dumps(body, ensure_ascii=False, default=str)


def signed_headers(
    *, delivery_id: UUID, body: bytes, secrets: Sequence[bytes], at: datetime
) -> dict[str, str]:
    """Return the headers of a request, with one signature for each secret (Standard Webhooks)."""
    timestamp = str(int(at.timestamp()))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    signatures = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return {
        "Content-Type": "application/json",
        "webhook-id": str(delivery_id),
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }


def delay_after(attempt_count: int, *, retry_after: timedelta | None) -> timedelta:
    """Return the time to the next attempt, with jitter.

    Args:
        attempt_count: the failed attempts, at least 1 and at most ``len(DELAYS)``.
        retry_after: the receiver's Retry-After. It lengthens the time, to LONGEST_RETRY_AFTER.
    """
    return _spread(max(DELAYS[attempt_count - 1], bounded(retry_after)))


def pause_after(failing_runs: int, *, retry_after: timedelta | None) -> timedelta:
    """Return how long a receiver is not called after `failing_runs` runs with failures alone."""
    doublings = min(failing_runs - 1, _MAX_DOUBLINGS)
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**doublings) if failing_runs else timedelta()
    return _spread(max(pause, bounded(retry_after)))


def bounded(retry_after: timedelta | None) -> timedelta:
    """Return the part of a Retry-After that is honoured."""
    return min(retry_after or timedelta(), LONGEST_RETRY_AFTER)


def _spread(delay: timedelta) -> timedelta:
    """Return a time that is up to a fifth longer, so that retries do not come all at once."""
    return delay * (1 + _SPREAD * _CHANCE.random())
