"""Send what is due to a webhook: outside of transactions, at least once, with a stable id."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from chassis.auth.secret_keys import SecretKeys
from chassis.database import is_infrastructure_error
from chassis.database.statements import Statements
from chassis.error_text import describe
from chassis.jobs import Jobs
from chassis.loops import until_success
from notifications.deliveries.models import DeliveryState, DueDelivery, Target, signed_headers
from notifications.deliveries.repository import DeliveryRepository, read_due
from notifications.dispatch.models import Attempt, Page, SlowShare
from notifications.kinds.models import Channel
from notifications.outcomes.models import ChannelOutcome
from notifications.outcomes.service import OutcomeService
from notifications.receivers.errors import Fault, ReceiverError
from notifications.receivers.models import Answer
from notifications.receivers.service import Receivers
from notifications.webhooks.models import DisabledReason, SendDeliveries, TellWebhookDisabled

log = structlog.get_logger(__name__)

CONCURRENT = 16
"""How many requests to one webhook are sent at a time."""

_PAGE = 200
_RUN_SECONDS = 20.0
_RECORD_SECONDS = 0.25
_STOP_SECONDS = 1.0
_REFUSED = "The receiver accepted no attempt."
_DISABLED = "The webhook was disabled."
_POSTPONED = timedelta(seconds=5)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class WebhookMetrics:
    """Counts and times the requests to webhooks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "webhook_attempts_total",
            "Requests to webhooks, by what became of their delivery: delivered, waiting (it is "
            "retried) or failed (it is given up).",
            ["outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "webhook_attempt_seconds",
            "Time of one request to a webhook.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._disabled = Counter(
            "webhooks_disabled_total",
            "Webhooks that were disabled because of their receiver: gone, failing.",
            ["reason"],
            registry=registry,
        )
        self.postponed = Counter(
            "webhook_runs_postponed_total",
            "Runs that were postponed because slow webhooks had their share of the worker.",
            registry=registry,
        )
        for state in DeliveryState:
            self._attempts.labels(state.value)
        for reason in (DisabledReason.GONE, DisabledReason.FAILING):
            self._disabled.labels(reason.value)

    def count(self, state: DeliveryState) -> None:
        """Count one request."""
        self._attempts.labels(state.value).inc()

    def disabled(self, reason: DisabledReason) -> None:
        """Count one webhook that was disabled."""
        self._disabled.labels(reason.value).inc()


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a dispatch writes in one transaction."""

    deliveries: DeliveryRepository
    outcomes: OutcomeService
    jobs: Jobs


class Dispatch:
    """Sends the due deliveries of one webhook at a time.

    One job per webhook is unfinished at a time, and it sends CONCURRENT requests at most. So a slow
    receiver holds up its own deliveries alone. A run has a limited time; the rest waits behind the
    other webhooks.

    Args:
        transaction: opens a transaction.
        reading: opens a connection for single statements.
        receivers: sends the requests.
        keys: decrypt the secrets; None if the settings hold none.
        slow: the share of slow webhooks.
        metrics: counts the requests.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[Records]],
        reading: Callable[[], AbstractAsyncContextManager[Statements]],
        receivers: Receivers,
        keys: SecretKeys | None,
        slow: SlowShare,
        metrics: WebhookMetrics,
    ) -> None:
        self._transaction = transaction
        self._reading = reading
        self._receivers = receivers
        self._keys = keys
        self._slow = slow
        self._metrics = metrics

    async def run(self, webhook_id: UUID, *, job_id: int) -> None:
        """Send what is due, then enqueue the next run if a delivery waits.

        Raises:
            UnknownKeyError: no key of the settings decrypts the secret.
        """
        ends = time.monotonic() + _RUN_SECONDS
        postponed = timedelta()
        while (found := await self._read(webhook_id)) is not None:
            target, due = found
            if not target.enabled:
                await self._give_up(target)
                break
            if not due or target.pause > timedelta():
                break
            with self._slow.entered(is_slow=target.is_slow) as admitted:
                if not admitted:
                    self._metrics.postponed.inc()
                    postponed = _POSTPONED
                    break
                page = await self._send_page(target, due, ends=ends)
            if page.disabled_for is None and (page.must_stop or not page.succeeded):
                break
        await self._finish(webhook_id, job_id, postponed)

    async def _read(self, webhook_id: UUID) -> tuple[Target, list[DueDelivery]] | None:
        async with self._reading() as statements:
            return await read_due(statements, webhook_id, limit=_PAGE)

    async def _send_page(self, target: Target, due: Sequence[DueDelivery], *, ends: float) -> Page:
        """Send deliveries, and record the attempts several times a second.

        While PostgreSQL is unavailable, the record is retried. An error here would have the job run
        again, and so send the requests again.
        """
        page = Page(target=target, secrets=self._secrets(target), left=deque(due), ends=ends)
        tasks = {
            asyncio.create_task(self._send_left(page), name=f"webhook {target.id}")
            for _ in range(min(CONCURRENT, len(due)))
        }
        try:
            while tasks:
                done, tasks = await asyncio.wait(tasks, timeout=_RECORD_SECONDS)
                for task in done:
                    task.result()
                await until_success(
                    partial(self._record, page),
                    name="webhook record",
                    passes=is_infrastructure_error,
                )
        except asyncio.CancelledError:
            await self._record_before_the_end(page)
            raise
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        return page

    async def _send_left(self, page: Page) -> None:
        while page.left and not page.must_stop:
            page.add(await self._attempt(page, page.left.popleft()))

    async def _attempt(self, page: Page, delivery: DueDelivery) -> Attempt:
        at, began = datetime.now(UTC), time.monotonic()
        body = delivery.payload.encode()
        headers = signed_headers(delivery_id=delivery.id, body=body, secrets=page.secrets, at=at)
        answer: Answer | None = None
        fault: Fault | None = None
        try:
            answer = await self._receivers.post(page.target.url, body=body, headers=headers)
        except ReceiverError as error:
            fault = error.fault
        seconds = time.monotonic() - began
        self._metrics.seconds.observe(seconds)
        return Attempt(delivery=delivery, at=at, seconds=seconds, answer=answer, fault=fault)

    async def _record(self, page: Page) -> None:
        """Record the attempts so far, and disable the webhook if they say so.

        An outcome is announced by the record that settles its delivery, and by no other: a worker
        that lost its lease sends and records a delivery, too, and so does this one again, if it
        can't know that its commit has succeeded.
        """
        attempts = list(page.unrecorded)
        if not attempts:
            return
        target, reason = page.target, page.disabled_for
        version: int | None = None
        async with self._transaction() as records:
            if reason is not None:
                version = await records.deliveries.disable(target, reason)
                attempts = [replace(one, is_outdated=version is None) for one in attempts]
            recorded = await records.deliveries.record(
                target, [attempt.result() for attempt in attempts], page.state()
            )
            ours = [attempt for attempt in attempts if attempt.delivery.id in recorded]
            await records.outcomes.announce(_settled(target, ours))
            if reason is not None and version is not None:
                await records.jobs.enqueue(
                    TellWebhookDisabled(
                        webhook_id=target.id, user_id=target.user_id, reason=reason, version=version
                    )
                )
        del page.unrecorded[: len(attempts)]
        for attempt in attempts:
            self._metrics.count(attempt.outcome)
        if reason is not None and version is not None:
            self._metrics.disabled(reason)
            log.warning("webhook disabled", webhook_id=str(target.id), reason=reason.value)

    async def _record_before_the_end(self, page: Page) -> None:
        """Record what receivers have accepted, which the next worker would send again."""
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._record(page)
        except Exception as error:  # noqa: BLE001 - it must not replace the cancellation
            log.warning("webhook attempts not recorded", error=describe(error))

    async def _give_up(self, target: Target) -> None:
        """Give up the deliveries that wait for a disabled webhook, in small transactions."""
        given_up = _PAGE
        while given_up == _PAGE:
            async with self._transaction() as records:
                notifications = await records.deliveries.fail_waiting(target.id, limit=_PAGE)
                await records.outcomes.announce(
                    [
                        _outcome(target, notification, failure=_DISABLED)
                        for notification in notifications
                        if notification is not None
                    ]
                )
            given_up = len(notifications)

    async def _finish(self, webhook_id: UUID, job_id: int, postponed: timedelta) -> None:
        """Enqueue the next run for the time of the next delivery.

        The key is given up first. So a delivery that is written meanwhile is either seen here, or
        enqueues a job.
        """
        async with self._transaction() as records:
            await records.jobs.give_up_key(job_id)
            delay = await records.deliveries.next_delay(webhook_id)
            if delay is not None:
                await records.jobs.enqueue_soonest(
                    SendDeliveries(webhook_id=webhook_id),
                    unique_key=str(webhook_id),
                    delay=max(delay, postponed, timedelta()),
                )

    def _secrets(self, target: Target) -> list[bytes]:
        keys = self._keys or SecretKeys([], purpose=b"")
        return [keys.unseal(secret, owner=target.id) for secret in target.secrets]


def _settled(target: Target, attempts: Sequence[Attempt]) -> list[ChannelOutcome]:
    """Return the outcomes of the notifications whose delivery ended with one of `attempts`."""
    return [
        _outcome(target, notification, failure=None if attempt.succeeded else _REFUSED)
        for attempt in attempts
        if attempt.outcome is not DeliveryState.WAITING
        and (notification := attempt.delivery.notification_id) is not None
    ]


def _outcome(target: Target, notification_id: UUID, *, failure: str | None) -> ChannelOutcome:
    return ChannelOutcome(
        notification_id=notification_id,
        user_id=target.user_id,
        channel=Channel.WEBHOOK,
        failure=failure,
    )
