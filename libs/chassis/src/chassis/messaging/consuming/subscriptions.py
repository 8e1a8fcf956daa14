"""The table of what a service consumes: one handler for each event type, and how it fails."""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """What becomes of a message that its handler refuses.

    Attributes:
        attempts: how often it is tried in all, before it is dead.
        first_delay: seconds before the second attempt, at most; it doubles with each.
        longest_delay: seconds between two attempts, at most.
        skip: let later messages of the key go on. They take effect before this one then: the
            subscription gives up the order of its events.
    """

    attempts: int = 10
    first_delay: float = 1.0
    longest_delay: float = 300.0
    skip: bool = False

    def delay(self, attempts: int) -> float:
        """Seconds to wait after so many attempts, from 1.

        Exponential with full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS, 2015.
        """
        longest = min(self.longest_delay, self.first_delay * 2.0 ** min(attempts - 1, 30))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True, slots=True)
class Subscription[E: PublicEvent, R]:
    """One event type and what handles it.

    Attributes:
        event: the contract.
        handler: takes effect in the delivery's transaction.
        failure: what becomes of a message that the handler refuses.
        time_limit: seconds that the handler may take for one message.
        batched: False for a handler that locks rows beyond the message's key: it gets a transaction
            for itself, or batches of two partitions would lock each other out.
        overtakes: runs even where an earlier message of its key is dead; the handler must be
            guarded by version.
    """

    event: type[E]
    handler: Callable[[E, Delivery[R]], Awaitable[None]]
    failure: FailurePolicy = field(default=FailurePolicy(), kw_only=True)
    time_limit: float = field(default=10.0, kw_only=True)
    batched: bool = field(default=True, kw_only=True)
    overtakes: bool = field(default=False, kw_only=True)


class UnknownEventTypeError(ValueError):
    """A type that the table neither handles nor ignores: its producer is ahead of this consumer."""


class Subscriptions[R]:
    """All subscriptions of one service.

    Args:
        handled: one for each event type.
        ignored: types on the same topics that this service does not need.

    Attributes:
        topics: what to subscribe to, without a prefix.
        retention: how long the longest-kept of the topics keeps its events.
        overtaking: the types that run even where their key is dead.
    """

    def __init__(
        self,
        *,
        handled: Iterable[Subscription[Any, R]],
        ignored: Iterable[type[PublicEvent]] = (),
    ) -> None:
        self._handled: dict[str, Subscription[Any, R]] = {}
        topics: dict[str, timedelta] = {}
        for subscription in handled:
            event = subscription.event
            if event.type in self._handled:
                message = f"{event.type} has two handlers: name one in the subscriptions table"
                raise ValueError(message)
            self._handled[event.type] = subscription
            topics[event.topic.name] = event.topic.retention
        self._ignored = frozenset(event.type for event in ignored)
        if both := self._ignored & self._handled.keys():
            message = f"{', '.join(sorted(both))} is both handled and ignored: choose one"
            raise ValueError(message)
        self.topics = tuple(sorted(topics))
        self.retention = max(topics.values(), default=timedelta())
        self.overtaking = tuple(
            sorted(name for name, one in self._handled.items() if one.overtakes)
        )

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
