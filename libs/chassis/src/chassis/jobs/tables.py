"""The tables of jobs in each service's schema."""

from datetime import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from chassis.database.declared import CHASSIS_TABLE

WAITING, RUNNING, DONE = "waiting", "running", "done"
DEAD, CANCELLED = "dead", "cancelled"
STATES = (WAITING, RUNNING, DONE, DEAD, CANCELLED)

# Each job is updated twice and deleted once. Vacuum by the number of dead rows, without pauses.
_CHANGED_OFTEN = {
    "autovacuum_vacuum_scale_factor": "0.01",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_analyze_threshold": "10000",
}


def declare_job_tables(metadata: MetaData) -> None:
    """Add the tables of jobs to a service's metadata, and so to its migrations."""
    _declare_jobs(metadata)
    Table(
        "job_schedules",
        metadata,
        Column("name", Text, primary_key=True),
        Column("timing", Text, nullable=False),
        Column("next_run_at", DateTime(timezone=True), nullable=False),
        Column("last_run_at", DateTime(timezone=True)),
        info=CHASSIS_TABLE,
    )
    Table(
        "job_actions",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        _moment("at", index=True),
        Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("job_id", BigInteger, nullable=False),
        Column("kind", Text, nullable=False),
        Column("unique_key", Text),
        info=CHASSIS_TABLE,
    )


def _moment(name: str, *, index: bool | None = None) -> Column[datetime]:
    return Column(
        name, DateTime(timezone=True), nullable=False, server_default=func.now(), index=index
    )


def _declare_jobs(metadata: MetaData) -> None:
    """Declare ``jobs``; a worker can settle a job only while ``lease`` is the one it took."""
    Table(
        "jobs",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("queue", Text, nullable=False),
        Column("kind", Text, nullable=False),
        # Not JSONB: it rejects U+0000 and lone surrogates.
        Column("arguments", JSON, nullable=False),
        Column("priority", SmallInteger, nullable=False),
        Column("unique_key", Text),
        Column("traceparent", Text),
        Column("state", Text, nullable=False, server_default=text("'waiting'")),
        _moment("run_at"),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("error", Text),
        Column("lease", Uuid),
        Column("lease_until", DateTime(timezone=True)),
        _moment("enqueued_at"),
        Column("started_at", DateTime(timezone=True)),
        Column("finished_at", DateTime(timezone=True)),
        Column("undeclared_since", DateTime(timezone=True)),
        CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'dead', 'cancelled')", name="state_known"
        ),
        CheckConstraint(
            "(state = 'running') = (lease IS NOT NULL AND lease_until IS NOT NULL)",
            name="running_is_leased",
        ),
        CheckConstraint(
            "(state IN ('done', 'dead', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_at_a_time",
        ),
        Index(
            "ix_jobs_waiting",
            "queue",
            "priority",
            "run_at",
            "id",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_jobs_running", "lease_until", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_dead", "id", postgresql_where=text("state = 'dead'")),
        Index(
            "ix_jobs_finished",
            "finished_at",
            postgresql_where=text("state IN ('done', 'cancelled')"),
        ),
        Index(
            "uq_jobs_unique_key",
            "kind",
            "unique_key",
            unique=True,
            postgresql_where=text("unique_key IS NOT NULL AND state IN ('waiting', 'running')"),
        ),
        postgresql_with=_CHANGED_OFTEN,
        info=CHASSIS_TABLE,
    )
