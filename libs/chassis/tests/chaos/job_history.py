"""What became of the jobs of a run, as rows read from the database: what the checker judges.

An enqueue gives its job a name of its own. A periodic job is named by the id of its row. All times
are microseconds by the database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    """An enqueue whose transaction committed.

    Attributes:
        name: of the job.
        kind: of the job.
        key: its unique key.
        created: False if the enqueue returned None, as a job with the key was unfinished.
        doomed: whether the handler refuses the job for ever.
        began: when the transaction began.
        made_at: after the job's row was inserted, and before the commit.
    """

    name: str
    kind: str
    key: str | None = None
    created: bool = True
    doomed: bool = False
    began: int = 0
    made_at: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A row of the jobs table.

    Attributes:
        name: of the job.
        kind: of the job.
        state: when all workers had stopped.
        finished_at: when it was completed, or was found dead.
        slot: of a periodic job: the number of the due time that it was enqueued for.
    """

    name: str
    kind: str
    state: str = "done"
    finished_at: int | None = None
    slot: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class JobEffect:
    """An effect of the job of this name, and when its row was written."""

    name: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHistory:
    """The jobs of one service whose workers have stopped.

    Attributes:
        enqueues: of the transactions that committed.
        rows: of the jobs table.
        effects: all that committed.
        repeatable: the kinds that run at least once; all others run exactly once.
    """

    enqueues: Sequence[Enqueue] = ()
    rows: Sequence[JobRow] = ()
    effects: Sequence[JobEffect] = ()
    repeatable: frozenset[str] = frozenset()
