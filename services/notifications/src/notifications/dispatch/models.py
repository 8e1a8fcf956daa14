"""A webhook's due deliveries while they are sent, and what their attempts mean for both."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from notifications.deliveries.models import (
    DeliveryState,
    DueDelivery,
    Target,
    WebhookState,
    delay_after,
    pause_after,
)
from notifications.receivers.errors import Fault
from notifications.receivers.models import Answer
from notifications.webhooks.models import DisabledReason

SLOW_SECONDS = 2.0
"""A webhook whose response takes longer counts as slow until it is faster."""

_TOLERATED = 3  # failures in a row, before a run stops
_GONE = 410


class SlowShare:
    """The share of a worker's slots that slow webhooks may use, so that they never use all.

    Args:
        limit: how many slow webhooks are called at a time.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @contextmanager
    def entered(self, *, is_slow: bool) -> Iterator[bool]:
        """Yield whether a webhook may be called now."""
        if not is_slow:
            yield True
        elif self._used >= self._limit:
            yield False
        else:
            self._used += 1
            try:
                yield True
            finally:
                self._used -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request of a delivery.

    Attributes:
        delivery: the delivery.
        at: when it began.
        seconds: how long it took.
        answer: the response; None if there is no valid one.
        fault: why there is none.
        is_outdated: whether the webhook was not disabled for it, since its owner had changed it.
    """

    delivery: DueDelivery
    at: datetime
    seconds: float
    answer: Answer | None
    fault: Fault | None
    is_outdated: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the receiver accepted the request."""
        return self.answer is not None and self.answer.accepted

    @property
    def retry_after(self) -> timedelta | None:
        """What the receiver asks for after a failure."""
        return None if self.answer is None or self.succeeded else self.answer.retry_after

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more requests."""
        return self.answer is not None and self.answer.status == _GONE

    @property
    def outcome(self) -> DeliveryState:
        """What becomes of the delivery."""
        if self.succeeded:
            return DeliveryState.DELIVERED
        if self.delivery.is_last_attempt or (self.is_gone and not self.is_outdated):
            return DeliveryState.FAILED
        return DeliveryState.WAITING

    def result(self) -> dict[str, Any]:
        """Return what is recorded of the delivery."""
        delay: float | None = None
        if self.outcome is DeliveryState.WAITING:
            count = self.delivery.attempt_count + 1
            delay = delay_after(count, retry_after=self.retry_after).total_seconds()
        return {
            "id": self.delivery.id,
            "deadline": self.delivery.deadline,
            "state": self.outcome.value,
            "delay": delay,
            "attempt": self.shown(),
        }

    def shown(self) -> dict[str, Any]:
        """Return the attempt as it is stored with its delivery."""
        return {
            "at": self.at.isoformat(),
            "duration_ms": round(self.seconds * 1000),
            "status": None if self.answer is None else self.answer.status,
            "error": None if self.fault is None else self.fault.value,
            "response": None if self.answer is None else self.answer.excerpt or None,
        }


@dataclass(slots=True, kw_only=True)
class Page:
    """Due deliveries of one webhook while they are sent.

    Attributes:
        target: the webhook.
        secrets: sign the requests.
        left: the deliveries that are not sent yet.
        ends: when the run ends, by the monotonic clock.
        unrecorded: the attempts that are not recorded yet.
        succeeded: whether the receiver accepted a request.
        failed: whether a request failed.
        in_a_row: how many of the last requests failed.
        is_slow: whether a response was slow.
        retry_after: the longest Retry-After of a failure.
        disabled_for: why the webhook must be disabled; None: it must not.
    """

    target: Target
    secrets: Sequence[bytes]
    left: deque[DueDelivery]
    ends: float
    unrecorded: list[Attempt] = field(default_factory=list)
    succeeded: bool = False
    failed: bool = False
    in_a_row: int = 0
    is_slow: bool = False
    retry_after: timedelta | None = None
    disabled_for: DisabledReason | None = None

    @property
    def must_stop(self) -> bool:
        """Whether no further request may begin."""
        return (
            self.in_a_row >= _TOLERATED
            or self.retry_after is not None
            or self.disabled_for is not None
            or time.monotonic() > self.ends
        )

    def add(self, attempt: Attempt) -> None:
        """Take an attempt in, which is recorded with the next ones."""
        self.unrecorded.append(attempt)
        self.is_slow |= attempt.seconds > SLOW_SECONDS
        if attempt.succeeded:
            self.succeeded, self.in_a_row = True, 0
            return
        self.failed = True
        self.in_a_row += 1
        if attempt.retry_after is not None:
            self.retry_after = max(attempt.retry_after, self.retry_after or timedelta())
        if attempt.is_gone:
            self.disabled_for = DisabledReason.GONE
        elif attempt.delivery.is_last_attempt and not self._accepted_since(attempt.delivery):
            self.disabled_for = DisabledReason.FAILING

    def state(self) -> WebhookState:
        """Return the state of the webhook after the attempts so far."""
        failing_runs = self.target.failing_runs + 1 if self.failed else self.target.failing_runs
        if self.succeeded:
            failing_runs = 0
        return WebhookState(
            failing_runs=failing_runs,
            pause=pause_after(failing_runs, retry_after=self.retry_after),
            is_slow=self.is_slow,
            succeeded=self.succeeded,
        )

    def _accepted_since(self, delivery: DueDelivery) -> bool:
        last = self.target.last_success_at
        return self.succeeded or (last is not None and last >= delivery.created_at)
