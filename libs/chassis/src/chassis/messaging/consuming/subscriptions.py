"""The table of what a service consumes: one handler for each event type, and how it fails."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from chassis.backoff import full_jitter
from chassis.database.limits import HANDLER_SECONDS
from chassis.database.unit import Unit
from chassis.messaging.events import PublicEvent, ReceivedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery[R]:
    """What a handler gets with the event.

    Attributes:
        unit: the batch's transaction; the handler must not commit or roll back.
        message: the CloudEvents attributes: id, subject, sequence, time.
        resources: what the service's ``wiring`` opened for this process.
    """

    unit: Unit
    message: ReceivedMessage
    resources: R


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """What happens to a message after its handler fails.

    Attributes:
        attempts: the number of attempts, the first included, before the message is dead.
        first_delay: the maximum seconds before the second attempt; doubled with each attempt.
        longest_delay: the maximum seconds between two attempts.
        skip: let later messages of the key go on. They then take effect before this one, so the
            subscription gives up the order of its events.
    """

    attempts: int = 10
    first_delay: float = 1.0
    longest_delay: float = 300.0
    skip: bool = False

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after `attempts`, from 1: exponential, full jitter."""
        return full_jitter(attempts, first=self.first_delay, longest=self.longest_delay)


@dataclass(frozen=True, slots=True)
class Subscription[E: PublicEvent, R]:
    """One event type and its handler.

    Attributes:
        event: the contract.
        handler: takes effect in the delivery's transaction.
        failure: what happens to a message after the handler fails.
        time_limit: seconds that the handler may take for one message, HANDLER_SECONDS at most.
        batched: False for a handler that locks rows beyond the message's key. It gets a separate
            transaction, as batches of two partitions could deadlock.
        overtakes: run even if an earlier message of the key is dead; the handler must compare
            versions.

    Raises:
        ValueError: `time_limit` is not positive, or more than a transaction may take.
    """

    event: type[E]
    handler: Callable[[E, Delivery[R]], Awaitable[None]]
    failure: FailurePolicy = field(default=FailurePolicy(), kw_only=True)
    time_limit: float = field(default=10.0, kw_only=True)
    batched: bool = field(default=True, kw_only=True)
    overtakes: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Reject a time limit that PostgreSQL would cut short: see `chassis.database.limits`."""
        if not 0 < self.time_limit <= HANDLER_SECONDS:
            message = (
                f"The subscription to {self.event.type} has time_limit={self.time_limit:g}; a "
                f"handler may take more than 0 and at most {HANDLER_SECONDS:g} s, as PostgreSQL "
                "ends longer transactions. Do long work in smaller steps, or outside the handler."
            )
            raise ValueError(message)


class UnknownEventTypeError(ValueError):
    """The table neither handles nor ignores this type: its producer is ahead of this consumer."""


type Finish[R] = Callable[[Unit, R], Awaitable[None]]
"""Writes what the handlers of one transaction collected."""


class Subscriptions[R]:
    """All subscriptions of one service.

    Args:
        handled: one subscription for each event type.
        ignored: types on the same topics that this service does not need.
        finish: runs once in each transaction, after its handlers: it writes what they collected.
        discarded_after: how long parked messages of a topic are kept, by the topic's name. It is
            for topics whose messages contain secrets: other parked messages are kept until they
            take effect or an operator discards them.

    Raises:
        ValueError: the table contradicts itself.

    Attributes:
        topics: the topics to subscribe to, without a prefix.
        retention: how long the topic with the longest retention keeps its events.
        overtaking: the types that run even if their key is dead.
        longest_delay: the maximum seconds between two attempts, of all types.
    """

    def __init__(
        self,
        *,
        handled: Iterable[Subscription[Any, R]],
        ignored: Iterable[type[PublicEvent]] = (),
        finish: Finish[R] | None = None,
        discarded_after: Mapping[str, timedelta] | None = None,
    ) -> None:
        self.finish = finish
        self.discarded_after = dict(discarded_after or {})
        self._handled: dict[str, Subscription[Any, R]] = {}
        topics: dict[str, timedelta] = {}
        for subscription in handled:
            event = subscription.event
            if event.type in self._handled:
                message = f"The event type {event.type} has two handlers. Subscribe to it once."
                raise ValueError(message)
            self._handled[event.type] = subscription
            topics[event.topic.name] = event.topic.retention
        self._ignored = frozenset(event.type for event in ignored)
        if both := self._ignored & self._handled.keys():
            message = f"Both handled and ignored: {', '.join(sorted(both))}. Choose one of the two."
            raise ValueError(message)
        self.topics = tuple(sorted(topics))
        if unread := self.discarded_after.keys() - topics.keys():
            message = f"`discarded_after` names topics that are not read: {', '.join(unread)}."
            raise ValueError(message)
        self.retention = max(topics.values(), default=timedelta())
        policies = [FailurePolicy(), *(one.failure for one in self._handled.values())]
        self.longest_delay = max(policy.longest_delay for policy in policies)
        self.overtaking = tuple(
            sorted(name for name, one in self._handled.items() if one.overtakes)
        )

    def find(self, event_type: str) -> Subscription[Any, R] | None:
        """Return the subscription of `event_type`, or None if the table ignores the type.

        Raises:
            UnknownEventTypeError: the table does not contain the type.
        """
        if event_type in self._ignored:
            return None
        try:
            return self._handled[event_type]
        except KeyError as error:
            message = (
                f"The event type {event_type!r} is neither handled nor ignored. Add it to "
                "`handled` or `ignored` of the service's subscriptions, in declaration.py."
            )
            raise UnknownEventTypeError(message) from error
