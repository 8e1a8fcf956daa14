"""Compares the changes of a level that events announce with what caused them."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chassis.verification.facts import Fact

TOLERANCE_SECONDS = 60.0
"""A change and its event are of one transaction, which PostgreSQL ends after 30 s; and the clocks
of two machines differ."""


@dataclass(frozen=True, slots=True)
class _Move:
    delta: int
    at: float
    version: int
    early: bool


def unexplained(events: Sequence[Fact], causes: Sequence[Fact], *, begin: float) -> Iterator[str]:
    """Yield, in words, each announced move without a cause, and each cause without a move.

    Args:
        events: those of one subject. The first of the window only says where its level began.
        causes: those of the subject.
        begin: from when on a cause must have its event: seconds since the epoch.
    """
    steps = _steps(events)
    left = [fact for fact in causes if fact.at is not None]
    for match in (_one_by_one, _by_moment):
        steps, left = match(steps, left)
    for move in steps:
        if move.early:
            yield f"version {move.version} moved it by {move.delta:+}, and nothing explains that"
    known = [fact.at for fact in events if fact.level is not None and fact.at is not None]
    # The first event of the window hides what it moved.
    since = max(begin, min(known, default=begin) + TOLERANCE_SECONDS)
    for cause in left:
        if _at(cause) >= since and not _has_gap(events):
            moment = datetime.fromtimestamp(_at(cause), UTC)
            yield f"{cause.number or 0:+} of {moment:%Y-%m-%d %H:%M:%S} is announced by no event"


def _steps(events: Sequence[Fact]) -> list[_Move]:
    levels = {
        fact.number: fact for fact in events if fact.level is not None and fact.number is not None
    }
    found = []
    for number, fact in levels.items():
        before = levels.get(number - 1)
        if before is None or before.level is None or fact.level is None:
            continue
        if fact.level != before.level:
            found.append(
                _Move(fact.level - before.level, fact.at or 0.0, number, early=bool(fact.early))
            )
    return sorted(found, key=lambda move: move.at)


def _has_gap(events: Iterable[Fact]) -> bool:
    numbers = {fact.number for fact in events if fact.number is not None}
    return bool(numbers) and len(numbers) != max(numbers) - min(numbers) + 1


def _one_by_one(steps: Sequence[_Move], causes: Sequence[Fact]) -> tuple[list[_Move], list[Fact]]:
    """Match moves with causes of the same delta, in the order of their times."""
    waiting: dict[int | None, deque[Fact]] = defaultdict(deque)
    for cause in sorted(causes, key=_at):
        waiting[cause.number].append(cause)
    unmatched, left = [], []
    for move in steps:
        queue = waiting[move.delta]
        while queue and _at(queue[0]) < move.at - TOLERANCE_SECONDS:
            left.append(queue.popleft())
        if queue and _at(queue[0]) <= move.at + TOLERANCE_SECONDS:
            queue.popleft()
        else:
            unmatched.append(move)
    return unmatched, [*left, *(cause for queue in waiting.values() for cause in queue)]


def _by_moment(steps: Sequence[_Move], causes: Sequence[Fact]) -> tuple[list[_Move], list[Fact]]:
    """Match moves with the sums of causes of the same moment: one transaction may have several."""
    moments: dict[float, list[Fact]] = defaultdict(list)
    for cause in causes:
        moments[_at(cause)].append(cause)
    sums = [
        replace(several[0], number=sum(one.number or 0 for one in several))
        for several in moments.values()
    ]
    unmatched, left = _one_by_one(steps, sums)
    return unmatched, [cause for one in left for cause in moments[_at(one)]]


def _at(cause: Fact) -> float:
    return cause.at or 0.0
