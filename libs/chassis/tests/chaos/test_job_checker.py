"""The checker of jobs must pass each right history, and name the one fault that was put into it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .checker import DOUBLE, GHOST, LOSS, STRANDED
from .job_checker import check_jobs
from .job_history import Enqueue, JobEffect, JobHistory, JobRow

INSIDE, BATCHED, OUTSIDE, TICK, TOCK = "inside", "batched", "outside", "tick", "tock"
REPEATABLE = frozenset({OUTSIDE, TOCK})


class Builder:
    """Builds a history whose database's clock goes on with each entry."""

    def __init__(self, draw):
        self.draw = draw
        self.now = 0
        self.enqueues, self.rows, self.effects = [], [], []

    def time(self):
        self.now += self.draw(st.integers(1, 5))
        return self.now

    def enqueue(self, kind, **options):
        began = self.time()
        name = f"{kind}-{len(self.enqueues)}"
        one = Enqueue(name=name, kind=kind, began=began, made_at=self.time(), **options)
        self.enqueues.append(one)
        return one

    def run(self, name, kind, *, doomed=False, slot=None):
        state = "dead" if doomed else "done"
        if not doomed and kind in REPEATABLE:
            times = self.draw(st.integers(1, 3))
            self.effects += [JobEffect(name, self.time()) for _ in range(times)]
        row = JobRow(name=name, kind=kind, state=state, finished_at=self.time(), slot=slot)
        self.rows.append(row)
        if not doomed and kind not in REPEATABLE:
            self.effects.append(JobEffect(name, self.time()))
        elif not doomed and self.draw(st.booleans()):
            # A worker that was frozen before its effect resumes after the completion.
            self.effects.append(JobEffect(name, self.time()))

    def job(self, kind, **options):
        one = self.enqueue(kind, **options)
        self.run(one.name, kind, doomed=one.doomed)


@st.composite
def right_histories(draw):
    build = Builder(draw)
    for kind in (INSIDE, BATCHED, OUTSIDE):
        for _ in range(draw(st.integers(1, 3))):
            build.job(kind)
        build.job(kind, doomed=True)
        for _ in range(2):
            one = build.enqueue(kind, key="k")
            for _ in range(draw(st.integers(1, 2))):
                build.enqueue(kind, key="k", created=False)
            build.run(one.name, kind)
    for kind in (TICK, TOCK):
        for slot in range(draw(st.integers(2, 4))):
            build.run(f"{kind}-{slot}", kind, slot=slot)
    return history_of(build)


def history_of(build):
    return JobHistory(
        enqueues=build.enqueues, rows=build.rows, effects=build.effects, repeatable=REPEATABLE
    )


def pick(draw, values, suits=lambda _: True):
    return draw(st.sampled_from([one for one in values if suits(one)]))


def good(draw, history, suits=lambda _: True):
    """Pick an enqueue whose job took effect."""
    return pick(draw, history.enqueues, lambda e: e.created and not e.doomed and suits(e))


def exactly_once(one):
    return one.kind not in REPEATABLE


def with_rows(history, name, **changes):
    rows = [replace(row, **changes) if row.name == name else row for row in history.rows]
    return replace(history, rows=rows)


def lose_a_job(draw, history):
    name = good(draw, history).name
    return replace(history, rows=[row for row in history.rows if row.name != name])


def lose_an_effect(draw, history):
    name = good(draw, history).name
    return replace(history, effects=[one for one in history.effects if one.name != name])


def lose_the_effect_of_a_run(draw, history):
    name = pick(draw, history.rows, lambda row: row.slot is not None).name
    return replace(history, effects=[one for one in history.effects if one.name != name])


def refuse_a_free_key(draw, history):
    """After all jobs of the key are finished."""
    one = good(draw, history, lambda e: e.key is not None)
    late = replace(one, name="late", created=False, began=10**6, made_at=10**6)
    return replace(history, enqueues=[*history.enqueues, late])


def keep_the_job_of_a_rolled_back_enqueue(draw, history):
    row = replace(pick(draw, history.rows, lambda row: row.slot is None), name="rolled-back")
    effects = [JobEffect("rolled-back", 1)] if draw(st.booleans()) else []
    return replace(history, rows=[*history.rows, row], effects=[*history.effects, *effects])


def let_a_rolled_back_enqueue_take_effect(draw, history):
    return replace(
        history, effects=[*history.effects, JobEffect("rolled-back", draw(st.integers(1, 99)))]
    )


def let_an_enqueue_that_made_no_job_take_effect(draw, history):
    name = pick(draw, history.enqueues, lambda e: not e.created).name
    return replace(history, effects=[*history.effects, JobEffect(name, 1)])


def let_a_doomed_job_take_effect(draw, history):
    name = pick(draw, history.enqueues, lambda e: e.doomed).name
    return replace(history, effects=[*history.effects, JobEffect(name, 1)])


def commit_an_effect_without_its_completion(draw, history):
    name = good(draw, history, exactly_once).name
    return with_rows(history, name, state="waiting", finished_at=None)


def double_an_effect(draw, history):
    name = good(draw, history, exactly_once).name
    return replace(history, effects=[*history.effects, JobEffect(name, 10**6)])


def double_the_effect_of_a_run(draw, history):
    name = pick(draw, history.rows, lambda row: row.kind == TICK).name
    return replace(history, effects=[*history.effects, JobEffect(name, 10**6)])


def double_a_job(draw, history):
    return replace(history, rows=[*history.rows, pick(draw, history.rows)])


def double_a_run(draw, history):
    row = replace(pick(draw, history.rows, lambda row: row.slot is not None), name="another")
    effects = [*history.effects, JobEffect("another", 10**6)]
    return replace(history, rows=[*history.rows, row], effects=effects)


def hold_a_key_twice(draw, history):
    """Between the enqueue of a job and its end: another one of its key."""
    early = good(draw, history, lambda e: e.key is not None)
    late = replace(early, name="another", made_at=early.made_at + 1)
    rows = [*history.rows, JobRow(name="another", kind=early.kind, finished_at=10**6)]
    effects = [*history.effects, JobEffect("another", 10**6)]
    return replace(history, enqueues=[*history.enqueues, late], rows=rows, effects=effects)


def free_a_key_before_the_effect(draw, history):
    """Between the completion and its commit: another one of its key."""
    one = good(draw, history, lambda e: e.key is not None and exactly_once(e))
    [row] = [row for row in history.rows if row.name == one.name]
    late = replace(one, name="another", made_at=row.finished_at)
    rows = [*history.rows, JobRow(name="another", kind=one.kind, finished_at=10**6)]
    effects = [*history.effects, JobEffect("another", 10**6)]
    return replace(history, enqueues=[*history.enqueues, late], rows=rows, effects=effects)


def leave_a_job(draw, history):
    """Unfinished, or given up although it could take effect."""
    state = draw(st.sampled_from(["running", "waiting", "dead", "cancelled"]))
    return with_rows(history, good(draw, history).name, state=state, finished_at=None)


def leave_a_run_running(draw, history):
    name = pick(draw, history.rows, lambda row: row.slot is not None).name
    return with_rows(history, name, state="running", finished_at=None)


def skip_a_run_that_is_not_the_last(draw, history):
    name = pick(draw, history.rows, lambda row: row.slot == 0).name
    return with_rows(history, name, state="waiting", finished_at=None)


def never_give_up(draw, history):
    name = pick(draw, history.enqueues, lambda e: e.doomed).name
    return with_rows(history, name, state=draw(st.sampled_from(["running", "waiting", "done"])))


FAULTS = [
    (lose_a_job, LOSS),
    (lose_an_effect, LOSS),
    (lose_the_effect_of_a_run, LOSS),
    (refuse_a_free_key, LOSS),
    (keep_the_job_of_a_rolled_back_enqueue, GHOST),
    (let_a_rolled_back_enqueue_take_effect, GHOST),
    (let_an_enqueue_that_made_no_job_take_effect, GHOST),
    (let_a_doomed_job_take_effect, GHOST),
    (commit_an_effect_without_its_completion, GHOST),
    (double_an_effect, DOUBLE),
    (double_the_effect_of_a_run, DOUBLE),
    (double_a_job, DOUBLE),
    (double_a_run, DOUBLE),
    (hold_a_key_twice, DOUBLE),
    (free_a_key_before_the_effect, DOUBLE),
    (leave_a_job, STRANDED),
    (leave_a_run_running, STRANDED),
    (skip_a_run_that_is_not_the_last, STRANDED),
    (never_give_up, STRANDED),
]


@given(history=right_histories())
def test_a_right_history_of_jobs_has_no_fault(history):
    assert check_jobs(history) == []


@given(history=right_histories())
def test_a_last_run_that_was_enqueued_when_the_workers_stopped_is_no_fault(history):
    last = JobRow(name="last", kind=TICK, state="waiting", slot=9)
    assert check_jobs(replace(history, rows=[*history.rows, last])) == []


@pytest.mark.parametrize(("inject", "kind"), FAULTS, ids=[inject.__name__ for inject, _ in FAULTS])
@settings(max_examples=40)
@given(data=st.data())
def test_one_fault_in_a_right_history_of_jobs_is_found_and_named(inject, kind, data):
    history = data.draw(right_histories())
    findings = check_jobs(inject(data.draw, history))
    assert kind in {finding.kind for finding in findings}, findings


def test_a_finding_says_which_job_it_is_about():
    one = Enqueue(name="x", kind=INSIDE)
    [no_job, no_effect] = check_jobs(JobHistory(enqueues=[one]))
    assert str(no_job) == "loss: inside x was enqueued, and there is no such job"
    assert str(no_effect) == "loss: inside x was enqueued, and had no effect"
