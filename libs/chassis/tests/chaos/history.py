"""What happened in a run, as rows read from the databases and the topic: what the checker judges.

An event is named by aggregate, version and id. The id tells apart two transactions that gave the
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
    """An effect, and how many of its aggregate were there before, as its transaction saw it."""

    event: Event
    before: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queue of parked messages; an `event` of None says that the queue is empty."""

    aggregate: str
    state: str
    event: Event | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One producer, one topic, and one consumer of it.

    Attributes:
        committed: the events of the transactions that committed.
        outbox: what is not published yet.
        topic: all messages, in any order.
        effects: in the order of their places.
        parked: in the order in which they wait.
        doomed: by aggregate, the version from which on it must wait behind a dead message.
    """

    committed: Sequence[Event]
    outbox: Sequence[Event] = ()
    topic: Sequence[Published] = ()
    effects: Sequence[Effect] = ()
    parked: Sequence[Waiting] = ()
    doomed: Mapping[str, int] = field(default_factory=dict)
