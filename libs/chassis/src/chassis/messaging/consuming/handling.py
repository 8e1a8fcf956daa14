"""Runs one handler for one message, within a time limit and a span of the message's own trace."""

import asyncio
from typing import Any

from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.messaging.consuming.incoming import Incoming, Record, read_incoming
from chassis.messaging.consuming.subscriptions import Delivery, Subscriptions
from chassis.telemetry.tracing import span_from

tracer = trace.get_tracer(__name__)


class HandlerTimeoutError(Exception):
    """A handler took longer than its subscription allows."""


class Handling[R]:
    """The handlers of one service.

    Args:
        service: names the consumer group in spans.
        subscriptions: what handles which type.
        resources: handed to each handler.
    """

    def __init__(self, *, service: str, subscriptions: Subscriptions[R], resources: R) -> None:
        self._service = service
        self.subscriptions = subscriptions
        self._resources = resources

    def read(self, record: Record) -> Incoming[R]:
        """Read a message, and find what handles it; raises nothing for what it holds."""
        return read_incoming(record, self.subscriptions)

    async def handle(self, session: AsyncSession, incoming: Incoming[R]) -> None:
        """Let a message take effect in the transaction of `session`; an ignored one has none.

        Raises:
            Exception: why it can't be handled as it is (``incoming.error``), or what its handler
                raised.
        """
        if incoming.error is not None:
            raise incoming.error
        subscription, message = incoming.subscription, incoming.message
        if subscription is None or message is None:
            return
        delivery = Delivery(session=session, message=message, resources=self._resources)
        with span_from(
            tracer,
            f"process {message.topic}",
            message.headers,
            kind=trace.SpanKind.CONSUMER,
            attributes=self._attributes(incoming),
        ):
            await subscription.handler(incoming.event, delivery)

    async def handle_alone(self, session: AsyncSession, incoming: Incoming[R]) -> None:
        """Do the same within the time limit of its subscription; a batch has one of its own.

        Raises:
            HandlerTimeoutError: it took longer.
            Exception: as `handle`.
        """
        seconds = incoming.subscription.time_limit if incoming.subscription else None
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await self.handle(session, incoming)
        except TimeoutError as error:
            if not limit.expired():
                raise
            text = f"{incoming.type} took longer than {seconds:g} s"
            raise HandlerTimeoutError(text) from error

    def _attributes(self, incoming: Incoming[R]) -> dict[str, Any]:
        record = incoming.record
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.consumer.group.name": self._service,
            "messaging.kafka.offset": record.offset,
            "messaging.message.id": incoming.id,
        }
