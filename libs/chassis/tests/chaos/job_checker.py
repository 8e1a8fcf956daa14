"""Says what is wrong with a history of jobs: the promises of enqueue and of each kind of job.

Its own tests break right histories at random; a fault that it does not name is a fault of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from .checker import DOUBLE, GHOST, LOSS, STRANDED, Finding
from .job_history import Enqueue, JobHistory, JobRow

_NEVER = 2**63


def check_jobs(history: JobHistory) -> list[Finding]:
    """Find all that breaks a promise in a history whose workers have stopped."""
    created = {one.name: one for one in history.enqueues if one.created}
    rows = {row.name: row for row in history.rows}
    return [
        *_of_rows(history, created),
        *_of_states(history, created),
        *_of_effects(history, created, rows),
        *_of_keys(history, rows),
        *_of_schedules(history),
    ]


def _of_rows(history: JobHistory, created: Mapping[str, Enqueue]) -> Iterator[Finding]:
    """A job exists once if its enqueue committed, and not at all if that was rolled back."""
    rows = Counter(row.name for row in history.rows)
    for name, enqueue in created.items():
        if name not in rows:
            yield Finding(LOSS, f"{enqueue} was enqueued, and there is no such job")
    for row in history.rows:
        if row.slot is None and row.name not in created:
            yield Finding(GHOST, f"{row} is a job, and its enqueue never committed")
        if rows[row.name] > 1:
            yield Finding(DOUBLE, f"{row} is {rows[row.name]} jobs")


def _of_states(history: JobHistory, created: Mapping[str, Enqueue]) -> Iterator[Finding]:
    last = {row.kind: row.slot for row in _periodic(history)}
    for row in history.rows:
        doomed = row.name in created and created[row.name].doomed
        right = "dead" if doomed else "done"
        if row.state == right:
            continue
        # The workers may have stopped between the enqueue of a last run and its start.
        if row.state == "waiting" and row.slot is not None and row.slot == last[row.kind]:
            continue
        yield Finding(STRANDED, f"{row} is {row.state}: it should be {right} by now")


def _of_effects(
    history: JobHistory, created: Mapping[str, Enqueue], rows: Mapping[str, JobRow]
) -> Iterator[Finding]:
    times = Counter(effect.name for effect in history.effects)
    for name, enqueue in created.items():
        if not enqueue.doomed and name not in times:
            yield Finding(LOSS, f"{enqueue} was enqueued, and had no effect")
    for row in _periodic(history):
        if row.state == "done" and row.name not in times:
            yield Finding(LOSS, f"{row} is done, and had no effect")
    for name in times:
        if name in created and created[name].doomed:
            text = f"{created[name]} had an effect, though its handler refuses it for ever"
            yield Finding(GHOST, text)
        if name not in created and name not in rows:
            yield Finding(GHOST, f"job {name} had an effect, and its enqueue never committed")
    yield from _exactly_once(history, times)


def _exactly_once(history: JobHistory, times: Mapping[str, int]) -> Iterator[Finding]:
    """Effect and completion are one transaction, unless the kind is repeatable."""
    for row in history.rows:
        if row.kind not in history.repeatable and row.name in times:
            if times[row.name] > 1:
                yield Finding(DOUBLE, f"{row} took effect {times[row.name]} times")
            if row.state != "done":
                yield Finding(GHOST, f"{row} had an effect, and is {row.state}")


def _of_keys(history: JobHistory, rows: Mapping[str, JobRow]) -> Iterator[Finding]:
    """At most one job of a key is unfinished, and only then does an enqueue make none."""
    groups: defaultdict[tuple[str, str], list[Enqueue]] = defaultdict(list)
    for enqueue in history.enqueues:
        if enqueue.key is not None:
            groups[enqueue.kind, enqueue.key].append(enqueue)
    last_effects: dict[str, int] = {}
    for effect in history.effects:
        last_effects[effect.name] = max(effect.at, last_effects.get(effect.name, 0))
    for (kind, _), group in groups.items():
        # A transaction completes its job before the effect; the job is unfinished for both.
        late = {} if kind in history.repeatable else last_effects
        until = {one.name: _finished(rows, one.name, late) for one in group if one.created}
        yield from _of_key(group, until)


def _finished(rows: Mapping[str, JobRow], name: str, late: Mapping[str, int]) -> int:
    row = rows.get(name)
    if row is None or row.finished_at is None:
        return _NEVER
    return max(row.finished_at, late.get(name, 0))


def _of_key(group: Sequence[Enqueue], until: Mapping[str, int]) -> Iterator[Finding]:
    made = sorted((one for one in group if one.created), key=lambda one: one.made_at)
    for early, late in pairwise(made):
        if late.made_at < until[early.name]:
            yield Finding(DOUBLE, f"{early} was unfinished, and {late} has its key {late.key}")
    for joined in group:
        if not joined.created and not any(
            one.made_at <= joined.made_at and until[one.name] >= joined.began for one in made
        ):
            yield Finding(LOSS, f"{joined} was not enqueued, and no job had its key {joined.key}")


def _of_schedules(history: JobHistory) -> Iterator[Finding]:
    """A schedule enqueues one run for each due time, whichever worker it dies with."""
    slots = Counter((row.kind, row.slot) for row in _periodic(history))
    for (kind, slot), count in slots.items():
        if count > 1:
            yield Finding(DOUBLE, f"{kind} was enqueued {count} times for its due time {slot}")


def _periodic(history: JobHistory) -> Sequence[JobRow]:
    """Return the runs of all schedules, by their due times."""
    runs = [(row.slot, row) for row in history.rows if row.slot is not None]
    return [row for _, row in sorted(runs, key=lambda one: one[0])]
