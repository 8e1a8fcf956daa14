"""Checks a history against the promises of the event backbone.

The checker's own tests damage correct histories at random. If the checker reports nothing then, the
checker is wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from .history import Effect, Event, History, Published, Waiting

LOSS, GHOST, DOUBLE, INVERSION, STRANDED = "loss", "ghost", "double", "inversion", "stranded"


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    text: str

    def __str__(self):
        return f"{self.kind}: {self.text}"


def check(history: History) -> list[Finding]:
    """Return every violation of a promise in a history in which nothing is in progress."""
    return [*_of_commits(history), *check_topic(history), *_of_effects(history), *_parked(history)]


def check_topic(history: History) -> list[Finding]:
    """Check the producer: committed events, and only those, are published in order."""
    return [
        *(Finding(STRANDED, f"{event} is still in the outbox") for event in history.outbox),
        *_of_topic(history),
    ]


def _of_commits(history: History) -> Iterator[Finding]:
    """Check what the other checks rely on: each aggregate's versions are 1, 2, 3 …"""
    for aggregate, events in _by(history.committed, lambda event: event.aggregate).items():
        versions = [event.version for event in events]
        expected = range(1, len(versions) + 1)
        yield from (
            Finding(LOSS, f"{aggregate} {one} was never committed, but a later one was")
            for one in expected
            if one not in versions
        )
        yield from (
            Finding(DOUBLE, f"{aggregate} {one} was committed {count} times")
            for one, count in Counter(versions).items()
            if count > 1
        )


def _of_topic(history: History) -> Iterator[Finding]:
    """Check only the first message of an event: a relay that was frozen may send it again."""
    committed = set(history.committed)
    published = {message.event for message in history.topic}
    for event in sorted(committed - published):
        yield Finding(LOSS, f"{event} was committed, and is not on the topic")
    for event in sorted(published - committed):
        yield Finding(GHOST, f"{event} is on the topic, and was never committed")
    for key, messages in _by(history.topic, lambda message: message.key).items():
        yield from _of_key(key, messages)


def _of_key(key: str, messages: list[Published]) -> Iterator[Finding]:
    if others := sorted({m.event.aggregate for m in messages} - {key}):
        yield Finding(INVERSION, f"key {key} carries events of {', '.join(others)}")
    if len(partitions := {message.partition for message in messages}) > 1:
        yield Finding(INVERSION, f"{key} is in partitions {sorted(partitions)}: it has no order")
        return
    first: dict[Event, Published] = {}
    for message in sorted(messages, key=lambda message: message.offset):
        first.setdefault(message.event, message)
    for early, late in pairwise(first.values()):
        if early.event.version >= late.event.version:
            place = f"partition {early.partition}, offsets {early.offset} and {late.offset}"
            yield Finding(INVERSION, f"{early.event} went before {late.event} ({place})")


def _of_effects(history: History) -> Iterator[Finding]:
    committed = set(history.committed)
    took_effect = Counter(effect.event for effect in history.effects)
    parked = {waiting.event for waiting in history.parked}
    for event in sorted(committed - took_effect.keys()):
        if event not in parked:
            yield Finding(LOSS, f"{event} had no effect, and is not parked")
    for event, times in sorted(took_effect.items()):
        if event not in committed:
            yield Finding(GHOST, f"{event} had an effect, and was never committed")
        if times > 1:
            yield Finding(DOUBLE, f"{event} took effect {times} times")
        if _is_doomed(history, event):
            yield Finding(GHOST, f"{event} had an effect, though its handler refuses it for ever")
    for aggregate, effects in _by(history.effects, lambda effect: effect.event.aggregate).items():
        yield from _order(aggregate, effects)


def _order(aggregate: str, effects: list[Effect]) -> Iterator[Finding]:
    for early, late in pairwise(effects):
        if early.event.version > late.event.version:
            yield Finding(INVERSION, f"{early.event} took effect before {late.event}")
    for effect in effects:
        # Two concurrent transactions take their places in one order, and may commit in the other.
        if effect.before != effect.event.version - 1:
            text = f"{effect.event} took effect when {aggregate} had {effect.before} effects"
            yield Finding(INVERSION, text)


def _parked(history: History) -> Iterator[Finding]:
    for waiting in history.parked:
        if waiting.event is None:
            yield Finding(STRANDED, f"a queue of {waiting.aggregate} is open, and empty")
        elif not _is_doomed(history, waiting.event):
            yield Finding(STRANDED, f"{waiting.event} is parked for ever, as {waiting.state}")
        elif waiting.state != "dead":
            yield Finding(STRANDED, f"{waiting.event} is {waiting.state}: it should be dead by now")
    queues = [waiting for waiting in history.parked if waiting.event is not None]
    for event, times in Counter(waiting.event for waiting in queues).items():
        if times > 1:
            yield Finding(DOUBLE, f"{event} is parked {times} times")
    for queue in _by(queues, lambda waiting: waiting.aggregate).values():
        yield from _queue(queue)


def _queue(queue: list[Waiting]) -> Iterator[Finding]:
    for early, late in pairwise(waiting.event for waiting in queue):
        if early is not None and late is not None and early.version > late.version:
            yield Finding(INVERSION, f"{early} is parked before {late}")


def _is_doomed(history: History, event: Event) -> bool:
    start = history.doomed.get(event.aggregate)
    return start is not None and event.version >= start


def _by[T, K: Hashable](values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for value in values:
        groups[key(value)].append(value)
    return groups
