"""The history of a run: rows read from the databases and the topic, for the checker.

An event is identified by aggregate, version and id. The id distinguishes two transactions with the
same version, of which one was rolled back: only one of the two may have an event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Event:
    aggregate: str
    version: int
    id: str

    def __str__(self):
        return f"{self.aggregate} {self.version} ({self.id})"


@dataclass(frozen=True, slots=True)
class Published:
    """A message of the topic."""

    partition: int
    offset: int
    key: str
    event: Event


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect, and how many effects of its aggregate its transaction saw before it."""

    event: Event
    before: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queue of parked messages. If `event` is None, the queue is empty."""

    aggregate: str
    state: str
    event: Event | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The history of one producer, one topic, and one consumer of the topic.

    Attributes:
        committed: the events of the transactions that committed.
        outbox: the events that are not published yet.
        topic: all messages, in any order.
        effects: in the order of their places.
        parked: in the order in which they wait.
        doomed: for each aggregate, the first version that must wait behind a dead message.
    """

    committed: Sequence[Event]
    outbox: Sequence[Event] = ()
    topic: Sequence[Published] = ()
    effects: Sequence[Effect] = ()
    parked: Sequence[Waiting] = ()
    doomed: Mapping[str, int] = field(default_factory=dict)
