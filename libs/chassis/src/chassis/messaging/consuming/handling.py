"""Runs one handler for one message, with a time limit and in a span of the message's trace."""

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry import trace

from chassis.database.unit import Unit
from chassis.messaging.consuming.incoming import Incoming, Record, read_incoming
from chassis.messaging.consuming.subscriptions import Delivery, Subscriptions
from chassis.messaging.events import ReceivedMessage
from chassis.telemetry.tracing import attached, context_from, is_sampled, span_from

tracer = trace.get_tracer(__name__)


class HandlerTimeoutError(Exception):
    """A handler took longer than its subscription allows."""


class Handling[R]:
    """The handlers of one service.

    Args:
        service: names the consumer group in spans.
        subscriptions: the handler of each event type.
        resources: passed to each handler.
    """

    def __init__(self, *, service: str, subscriptions: Subscriptions[R], resources: R) -> None:
        self._service = service
        self.subscriptions = subscriptions
        self._resources = resources

    def read(self, record: Record) -> Incoming[R]:
        """Parse a message and find its subscription; never raises because of its content."""
        return read_incoming(record, self.subscriptions)

    async def handle(self, unit: Unit, incoming: Incoming[R]) -> None:
        """Run the handler of a message in the transaction of `unit`; skip an ignored message.

        Raises:
            Exception: why the message can't be handled (``incoming.error``), or what its handler
                raised.
        """
        if incoming.error is not None:
            raise incoming.error
        subscription, message = incoming.subscription, incoming.message
        if subscription is None or message is None:
            return
        delivery = Delivery(unit=unit, message=message, resources=self._resources)
        with self._trace_of(incoming, message):
            await subscription.handler(incoming.event, delivery)

    def _trace_of(
        self, incoming: Incoming[R], message: ReceivedMessage
    ) -> AbstractContextManager[object]:
        """Return the handler's span. Most traces are not sampled: their handlers have no span."""
        context = context_from(message.headers)
        parent = trace.get_current_span(context).get_span_context()
        if parent.is_valid and not parent.trace_flags.sampled:
            return attached(context)
        return span_from(
            tracer,
            f"process {message.topic}",
            context,
            kind=trace.SpanKind.CONSUMER,
            attributes=self._attributes(incoming, "process"),
        )

    async def finish(self, unit: Unit) -> None:
        """Write what the handlers of this transaction collected; nothing comes after it."""
        if self.subscriptions.finish is not None:
            await self.subscriptions.finish(unit, self._resources)

    def settled(self, handled: Iterable[Incoming[R]]) -> None:
        """Show in each message's trace that its effect is committed."""
        for incoming in handled:
            headers = {} if incoming.message is None else incoming.message.headers
            if is_sampled(headers):  # most are not: those cost nothing here
                attributes = self._attributes(incoming, "settle")
                name = f"settle {incoming.record.topic}"
                with span_from(
                    tracer, name, headers, kind=trace.SpanKind.CLIENT, attributes=attributes
                ):
                    pass

    async def handle_alone(self, unit: Unit, incoming: Incoming[R]) -> None:
        """Handle the only message of a transaction, and finish it, within its time limit.

        A batch has one limit for all its messages, so it calls `handle` and `finish` itself.

        Raises:
            HandlerTimeoutError: the handler took longer.
            Exception: as `handle`.
        """
        seconds = incoming.subscription.time_limit if incoming.subscription else None
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await self.handle(unit, incoming)
                await self.finish(unit)
        except TimeoutError as error:
            if not limit.expired():
                raise
            text = f"The handler of {incoming.type} took longer than its {seconds:g} s."
            raise HandlerTimeoutError(text) from error

    def _attributes(self, incoming: Incoming[R], operation: str) -> dict[str, Any]:
        record = incoming.record
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.consumer.group.name": self._service,
            "messaging.kafka.offset": record.offset,
            "messaging.message.id": incoming.id,
        }
