"""Joins facts by group and key, and names what differs; knows nothing of databases and topics."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice, pairwise

from chassis.verification.facts import Fact, Kind
from chassis.verification.levels import unexplained

_LISTED = 3  # more numbers would be hard to read


class Difference(StrEnum):
    """A kind of what differs."""

    CHANGE_WITHOUT_EVENT = "change without event"
    EVENT_WITHOUT_CHANGE = "event without change"
    GAP = "gap"
    OVERTAKEN = "overtaken"
    TWO_CONTENTS = "two contents"
    OTHER_LEVEL = "other level"
    UNEXPLAINED = "unexplained change"
    NOT_CONSUMED = "not consumed"
    EVENT_WITHOUT_EFFECT = "event without effect"
    EFFECT_WITHOUT_EVENT = "effect without event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference.

    Attributes:
        group: what was compared: ``SERVICE/NAME``.
        key: the key of events and rows.
        member: the subject, or the id of the event of an effect.
        difference: its kind.
        text: what was found, and what was expected.
    """

    group: str
    key: str
    member: str
    difference: Difference
    text: str

    def __str__(self) -> str:
        return f"{self.group} {self.member}: {self.difference}: {self.text}"


@dataclass(slots=True)
class Judge:
    """Judges one key after the other, and counts what was compared.

    Attributes:
        counts: how many facts of each kind were compared, by group.
        waiting: how many events of effects are parked, skipped or discarded.
    """

    counts: dict[str, dict[Kind, int]] = field(default_factory=dict)
    waiting: int = 0
    _begins: dict[str, float] = field(default_factory=dict)

    def findings(self, keys: Iterable[Sequence[Fact]]) -> Iterator[Finding]:
        """Yield what differs; `keys` has the facts of each group and key, sorted by both."""
        for facts in keys:
            group = facts[0].group
            counted = self.counts.setdefault(group, defaultdict(int))
            for fact in facts:
                counted[fact.kind] += 1
                if fact.kind is Kind.WINDOW and fact.at is not None:
                    self._begins[group] = fact.at
            begin = self._begins.get(group)
            if begin is not None:
                yield from self._of_key(facts, begin)

    def _of_key(self, facts: Sequence[Fact], begin: float) -> Iterator[Finding]:
        excused = any(fact.kind is Kind.EXCUSE for fact in facts)
        members: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            if fact.kind not in {Kind.EXCUSE, Kind.WINDOW, Kind.END}:
                members[fact.member].append(fact)
        for member, of_member in members.items():
            kinds = {fact.kind for fact in of_member}
            if kinds & {Kind.ROW, Kind.EVENT, Kind.CAUSE}:
                found = _Subject(of_member, begin=begin, excused=excused).differences()
            else:
                found = self._effect(of_member, begin=begin, excused=excused)
            for difference, text in found:
                yield Finding(
                    group=facts[0].group,
                    key=facts[0].key,
                    member=member,
                    difference=difference,
                    text=text,
                )

    def _effect(
        self, facts: Sequence[Fact], *, begin: float, excused: bool
    ) -> Iterator[tuple[Difference, str]]:
        by_kind = {fact.kind: fact for fact in facts}
        handled, effect = by_kind.get(Kind.HANDLED), by_kind.get(Kind.EFFECT)
        if handled is not None and _at(handled) >= begin:
            if handled.outcome is None:
                yield (
                    Difference.NOT_CONSUMED,
                    f"the group has passed this {handled.type}, and the inbox does not know it",
                )
            elif handled.outcome != "done":
                self.waiting += 1
            elif effect is None and not excused:
                yield (
                    Difference.EVENT_WITHOUT_EFFECT,
                    f"this {handled.type} was handled, and its row is missing",
                )
        lost = effect is not None and effect.outcome is None and _at(effect) >= begin
        if lost and handled is None and Kind.PRESENT not in by_kind:
            yield (
                Difference.EFFECT_WITHOUT_EVENT,
                "neither the topic nor the inbox has the event of this row",
            )


class _Subject:
    """One subject: its row, its events in the topic and in the outbox, the causes of its level."""

    def __init__(self, facts: Sequence[Fact], *, begin: float, excused: bool) -> None:
        self._begin = begin
        self._excused = excused
        self._row = next((fact for fact in facts if fact.kind is Kind.ROW), None)
        self._causes = [fact for fact in facts if fact.kind is Kind.CAUSE]
        self._events = [fact for fact in facts if fact.kind is Kind.EVENT]
        sent = [fact for fact in self._events if fact.place is not None]
        self._sent = sorted(sent, key=lambda fact: fact.place or 0)
        self._sent_numbers = {_number(fact) for fact in self._sent}
        self._unsent_numbers = {
            _number(fact) for fact in self._events if fact.place is None
        } - self._sent_numbers

    def differences(self) -> Iterator[tuple[Difference, str]]:
        yield from self._contents()
        yield from self._gaps()
        yield from self._order()
        yield from self._events_without_change()
        yield from self._change_without_event()
        yield from self._level()

    def _contents(self) -> Iterator[tuple[Difference, str]]:
        """A relay that was frozen may repeat an event, with the same id and content."""
        first: dict[tuple[int, str | None], Fact] = {}
        names: dict[int, set[str]] = defaultdict(set)
        for fact in self._events:
            if fact.snapshot:
                continue
            names[_number(fact)].add(_name(fact))
            known = first.setdefault((_number(fact), fact.type), fact)
            if (known.id, known.digest) == (fact.id, fact.digest):
                continue
            what = "two events" if known.id != fact.id else "the same event with two contents"
            text = f"{fact.type} of version {fact.number} was published twice, as {what}"
            yield Difference.TWO_CONTENTS, f"{text}: {known.id}, {fact.id}"
        for number, several in names.items():
            if len(several) > 1:
                text = f"version {number} was announced as {' and as '.join(sorted(several))}"
                yield Difference.TWO_CONTENTS, text

    def _gaps(self) -> Iterator[tuple[Difference, str]]:
        changes = sorted({_number(fact) for fact in self._sent if not fact.snapshot})
        for before, after in pairwise(changes):
            missing = _missing(range(before + 1, after), self._unsent_numbers)
            if missing:
                yield (
                    Difference.GAP,
                    f"ce_sequence {missing} is missing between {before} and {after}",
                )

    def _order(self) -> Iterator[tuple[Difference, str]]:
        """Only offsets of one partition have an order; repetitions of a number do not count."""
        seen: set[int] = set()
        highest: dict[int | None, int] = {}
        for fact in self._sent:
            number, before = _number(fact), highest.get(fact.partition, 0)
            if not fact.snapshot and number not in seen and number < before:
                yield Difference.OVERTAKEN, f"version {number} was published after {before}"
            seen.add(number)
            highest[fact.partition] = max(number, before)

    def _events_without_change(self) -> Iterator[tuple[Difference, str]]:
        early = [fact for fact in self._sent if fact.early]
        if not early:
            return
        highest = max(early, key=_number)
        if self._row is None:
            ends = [_number(fact) for fact in self._events if fact.ended]
            if not self._excused and max(ends, default=-1) < _number(highest):
                yield (
                    Difference.EVENT_WITHOUT_CHANGE,
                    f"{highest.type} announces version {highest.number}, and there is no row",
                )
        elif _number(highest) > _number(self._row):
            yield (
                Difference.EVENT_WITHOUT_CHANGE,
                f"{highest.type} is of version {highest.number}, and the row of {self._row.number}",
            )

    def _change_without_event(self) -> Iterator[tuple[Difference, str]]:
        row = self._row
        if row is None:
            return
        version, highest = _number(row), max(self._sent_numbers, default=0)
        for expected in self._expected(row):
            if missing := _missing(expected, self._unsent_numbers):
                yield (
                    Difference.CHANGE_WITHOUT_EVENT,
                    f"no event of version {missing}: row {version}, topic {highest or 'none'}",
                )

    def _expected(self, row: Fact) -> Iterator[range]:
        """Yield the versions of the row that are not in the topic, and should be in the outbox.

        Those between two events in the topic are left out: they are gaps.
        """
        version, sent = _number(row), self._sent_numbers
        # A snapshot stands for all events before it.
        is_new = row.since is not None and row.since >= self._begin
        is_whole = is_new and not any(fact.snapshot for fact in self._sent)
        if sent:
            if is_whole:
                yield range(1, min(sent))
            yield range(max(sent) + 1, version + 1)
        elif _at(row) >= self._begin:
            yield range(1 if is_whole else version, version + 1)

    def _level(self) -> Iterator[tuple[Difference, str]]:
        row = self._row
        if row is not None and row.level is not None:
            # A snapshot repeats the level of an altered row.
            others = {
                fact.level
                for fact in self._events
                if _number(fact) == row.number and fact.level not in {None, row.level}
            }
            for other in others:
                yield (
                    Difference.OTHER_LEVEL,
                    f"the row has {row.level}, and the event of its version {other}",
                )
        for text in unexplained(self._events, self._causes, begin=self._begin):
            yield Difference.UNEXPLAINED, text


def _number(fact: Fact) -> int:
    return fact.number or 0


def _name(fact: Fact) -> str:
    """Return the type without its version, since two versions of an event announce one change."""
    return (fact.type or "").rpartition(".")[0]


def _at(fact: Fact) -> float:
    return fact.at or 0.0


def _missing(expected: range, known: Container[int]) -> str:
    """Return, in words, which numbers are not known; an empty text if all are.

    The range is never made a set: a version that was damaged may be billions above the others.
    """
    first = list(islice((number for number in expected if number not in known), _LISTED + 1))
    if len(first) <= _LISTED:
        return ", ".join(map(str, first))
    last = next(number for number in reversed(expected) if number not in known)
    return f"{first[0]}, {first[1]}, … {last}"
