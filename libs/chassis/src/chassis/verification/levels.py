"""Compares the changes of a level that events announce with what caused them."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import permutations, product

from chassis.verification.facts import Fact

TOLERANCE_SECONDS = 60.0
"""A change and its event are of one transaction, which PostgreSQL ends after 30 s; and the clocks
of two machines differ."""

_FORWARD, _BACKWARD = 1, -1  # in time


@dataclass(frozen=True, slots=True)
class _Move:
    delta: int
    at: float
    version: int
    early: bool


type _Unmatched = tuple[list[_Move], list[Fact]]


def unexplained(events: Sequence[Fact], causes: Sequence[Fact], *, begin: float) -> Sequence[str]:
    """Return, in words, each announced move without a cause, and each cause without a move.

    Any way of matching may give a cause to a move that is not its own: two causes of one moment may
    be of two transactions, one of several may have the amount of another move, and the first event
    of the window hides some. So the ways are tried until one leaves nothing; else the one counts
    that leaves least.

    Args:
        events: those of one subject. The first of the window only says where its level began.
        causes: those of the subject.
        begin: from when on a cause must have its event: seconds since the epoch.
    """
    steps = _steps(events)
    dated = [fact for fact in causes if fact.at is not None]
    known = [fact.at for fact in events if fact.level is not None and fact.at is not None]
    # The first event of the window hides what it moved.
    since = max(begin, min(known, default=begin) + TOLERANCE_SECONDS)
    hidden = _has_gap(events)
    found: list[list[str]] = []
    for direction, order in product((_FORWARD, _BACKWARD), permutations((_one_by_one, _by_moment))):
        unmatched, left = list(steps), list(dated)
        for match in order:
            unmatched, left = match(unmatched, left, direction)
        late = [] if hidden else [cause for cause in left if _at(cause) >= since]
        found.append([*_without_cause(unmatched), *map(_without_move, late)])
        if not found[-1]:
            break
    return min(found, key=len)


def _without_cause(moves: Iterable[_Move]) -> Iterator[str]:
    for move in moves:
        if move.early:
            yield f"version {move.version} moved it by {move.delta:+}, and nothing explains that"


def _without_move(cause: Fact) -> str:
    moment = datetime.fromtimestamp(_at(cause), UTC)
    return f"{cause.number or 0:+} of {moment:%Y-%m-%d %H:%M:%S} is announced by no event"


def _steps(events: Sequence[Fact]) -> list[_Move]:
    """Return the moves. A snapshot has a level, but not the time at which it was reached."""
    levels: dict[int, Fact] = {}
    for fact in sorted(events, key=lambda fact: bool(fact.snapshot)):
        if fact.level is not None and fact.number is not None:
            levels.setdefault(fact.number, fact)
    found = []
    for number, fact in levels.items():
        before = levels.get(number - 1)
        if fact.snapshot or before is None or before.level is None or fact.level is None:
            continue
        if fact.level != before.level:
            found.append(
                _Move(fact.level - before.level, fact.at or 0.0, number, early=bool(fact.early))
            )
    return found


def _has_gap(events: Sequence[Fact]) -> bool:
    """Return whether a change has no event; in place of the first one, a snapshot will do."""
    numbers = {fact.number for fact in events if fact.number is not None}
    if not numbers:
        return False
    changes = {fact.number for fact in events if not fact.snapshot} & numbers
    return len(changes - {min(numbers)}) != max(numbers) - min(numbers)


def _one_by_one(steps: Sequence[_Move], causes: Sequence[Fact], direction: int) -> _Unmatched:
    """Match moves with causes of the same delta, in the order of their times."""
    waiting: dict[int | None, deque[Fact]] = defaultdict(deque)
    for cause in sorted(causes, key=lambda cause: direction * _at(cause)):
        waiting[cause.number].append(cause)
    unmatched, left = [], []
    for move in sorted(steps, key=lambda move: direction * move.at):
        queue = waiting[move.delta]
        while queue and direction * (move.at - _at(queue[0])) > TOLERANCE_SECONDS:
            left.append(queue.popleft())
        if queue and abs(move.at - _at(queue[0])) <= TOLERANCE_SECONDS:
            queue.popleft()
        else:
            unmatched.append(move)
    return unmatched, [*left, *(cause for queue in waiting.values() for cause in queue)]


def _by_moment(steps: Sequence[_Move], causes: Sequence[Fact], direction: int) -> _Unmatched:
    """Match moves with the sums of causes of the same moment: one transaction may have several."""
    moments: dict[float, list[Fact]] = defaultdict(list)
    for cause in causes:
        moments[_at(cause)].append(cause)
    sums = [
        replace(several[0], number=sum(one.number or 0 for one in several))
        for several in moments.values()
    ]
    unmatched, left = _one_by_one(steps, sums, direction)
    return unmatched, [cause for one in left for cause in moments[_at(one)]]


def _at(cause: Fact) -> float:
    return cause.at or 0.0
