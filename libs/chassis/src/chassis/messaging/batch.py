"""Runs the messages of one partition in transactions: inbox first, then effects."""

import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from aiokafka import ConsumerRecord
from opentelemetry import trace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database.engine import Database
from chassis.database.errors import is_infrastructure_error
from chassis.messaging.events import ReceivedMessage, read_message
from chassis.messaging.metrics import ConsumerMetrics
from chassis.messaging.subscriptions import Delivery, Subscriptions
from chassis.telemetry.tracing import span_from

tracer = trace.get_tracer(__name__)

# An owner that was paused and lost the partition can't overtake the new one: both take this lock.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_INBOX = text(
    """
    INSERT INTO inbox (consumer, source, id, outcome)
    SELECT :consumer, i.source, i.id, i.outcome
    FROM ROWS FROM (
        json_to_recordset(cast(:rows AS json)) AS (source text, id text, outcome text)
    ) WITH ORDINALITY AS i (source, id, outcome, place)
    ORDER BY i.place
    ON CONFLICT (consumer, source, id) DO NOTHING
    RETURNING source, id
    """
)


class BatchRunner[R]:
    """Takes batches of one partition through the service's handlers.

    Args:
        service: the consumer's name in the inbox.
        database: of the service.
        subscriptions: what handles which type.
        resources: handed to each handler.
        metrics: where it tells what it does.
    """

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        subscriptions: Subscriptions[R],
        resources: R,
        metrics: ConsumerMetrics,
    ) -> None:
        self._service = service
        self._database = database
        self._subscriptions = subscriptions
        self._resources = resources
        self._metrics = metrics

    @property
    def topics(self) -> Sequence[str]:
        """The topics of the subscriptions, without a prefix."""
        return self._subscriptions.topics

    async def run(self, records: Sequence[ConsumerRecord]) -> tuple[int, Exception | None]:
        """Run `records`, which are of one partition and in order.

        Answers how many, from the first, are done for good, and what stopped the next one. Where
        the batch fails for a reason of its data it is run again one by one.
        """
        try:
            await self._transaction(records)
        except Exception as error:  # noqa: BLE001 - any error of a handler must be met
            if is_infrastructure_error(error):
                self._count(records[0].topic, "interrupted", len(records))
                return (0, error)
            if len(records) == 1:
                self._count(records[0].topic, "failed", 1)
                return (0, error)
        else:
            return (len(records), None)
        for done, record in enumerate(records):
            _, failure = await self.run([record])
            if failure is not None:
                return (done, failure)
        return (len(records), None)

    async def _transaction(self, records: Sequence[ConsumerRecord]) -> None:
        started = time.perf_counter()
        messages = [_read(record) for record in records if record.value is not None]
        topic = records[0].topic
        outcomes = {"ignored": len(records) - len(messages)}  # tombstones say nothing to us
        async with self._database.transaction() as session:
            name = f"consume:{self._service}:{topic}:{records[0].partition}"
            await session.execute(_LOCK, {"name": name})
            fresh = await self._receive(session, messages)
            outcomes["duplicate"] = len(messages) - len(fresh)
            for message in fresh:
                outcome = await self._handle(session, message)
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
        for outcome, number in outcomes.items():
            self._count(topic, outcome, number)
        self._metrics.batch_seconds.labels(topic).observe(time.perf_counter() - started)

    async def _receive(
        self, session: AsyncSession, messages: Sequence[ReceivedMessage]
    ) -> list[ReceivedMessage]:
        """Write the inbox rows; answer the messages that were not there before."""
        if not messages:
            return []
        rows = [
            {"source": message.source, "id": message.id, "outcome": self._outcome(message)}
            for message in messages
        ]
        result = await session.execute(
            _INBOX, {"consumer": self._service, "rows": json.dumps(rows)}
        )
        new = {(row.source, row.id) for row in result}
        fresh = []
        for message in messages:
            if (message.source, message.id) in new:
                new.remove((message.source, message.id))  # twice in one batch: once
                fresh.append(message)
        return fresh

    def _outcome(self, message: ReceivedMessage) -> str:
        return "ignored" if self._subscriptions.find(message.type) is None else "done"

    async def _handle(self, session: AsyncSession, message: ReceivedMessage) -> str:
        subscription = self._subscriptions.find(message.type)
        if subscription is None:
            return "ignored"
        event = subscription.event.from_json(message.value)
        with _process_span(message):
            await subscription.handler(
                event, Delivery(session=session, message=message, resources=self._resources)
            )
        return "done"

    def _count(self, topic: str, outcome: str, number: int) -> None:
        if number:
            self._metrics.consumed.labels(topic, outcome).inc(number)


def _read(record: ConsumerRecord) -> ReceivedMessage:
    return read_message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        headers=record.headers,
        value=record.value,
    )


def _process_span(message: ReceivedMessage) -> AbstractContextManager[trace.Span]:
    return span_from(
        tracer,
        f"{message.topic} process",
        message.headers,
        kind=trace.SpanKind.CONSUMER,
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": message.topic,
            "messaging.message.id": message.id,
        },
    )
