"""The table of what a service consumes: one handler for each event type."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.messaging.events import PublicEvent, ReceivedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery[R]:
    """What a handler gets beside the event.

    Attributes:
        session: the batch's transaction; the handler neither commits nor rolls back.
        message: the CloudEvents attributes: id, subject, sequence, time.
        resources: what the service's ``wiring`` opened for this process.
    """

    session: AsyncSession
    message: ReceivedMessage
    resources: R


@dataclass(frozen=True, slots=True)
class Subscription[E: PublicEvent, R]:
    """One event type and what handles it."""

    event: type[E]
    handler: Callable[[E, Delivery[R]], Awaitable[None]]


class UnknownEventTypeError(ValueError):
    """A type that the table neither handles nor ignores: its producer is ahead of this consumer."""


class Subscriptions[R]:
    """All subscriptions of one service.

    Args:
        handled: one for each event type.
        ignored: types on the same topics that this service does not need.
    """

    def __init__(
        self,
        *,
        handled: Iterable[Subscription[Any, R]],
        ignored: Iterable[type[PublicEvent]] = (),
    ) -> None:
        self._handled: dict[str, Subscription[Any, R]] = {}
        topics: set[str] = set()
        for subscription in handled:
            event = subscription.event
            if event.type in self._handled:
                message = f"{event.type} has two handlers: name one in the subscriptions table"
                raise ValueError(message)
            self._handled[event.type] = subscription
            topics.add(event.topic.name)
        self._ignored = frozenset(event.type for event in ignored)
        if both := self._ignored & self._handled.keys():
            message = f"{', '.join(sorted(both))} is both handled and ignored: choose one"
            raise ValueError(message)
        self.topics = tuple(sorted(topics))

    def find(self, event_type: str) -> Subscription[Any, R] | None:
        """Find what handles `event_type`; None where the table ignores it.

        Raises:
            UnknownEventTypeError: the table does not name it.
        """
        if event_type in self._ignored:
            return None
        try:
            return self._handled[event_type]
        except KeyError as error:
            message = f"event type {event_type!r} is neither handled nor ignored: add it"
            raise UnknownEventTypeError(message) from error
