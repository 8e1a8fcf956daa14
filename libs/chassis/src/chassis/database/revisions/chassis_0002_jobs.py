"""The tables of durable jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from chassis.database.choices import create_chosen, drop_chosen

revision = "chassis_0002"
down_revision = "chassis_0001"
branch_labels = None
depends_on = None

_CHANGED_OFTEN = {
    "autovacuum_vacuum_scale_factor": "0.01",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_analyze_threshold": "10000",
}


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _job_columns() -> Sequence[sa.Column[Any]]:
    return (
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        _moment("run_at"),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        _moment("enqueued_at"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
    )


def _job_rules() -> Sequence[sa.Constraint]:
    return (
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'dead', 'cancelled')",
            name=op.f("ck_jobs_state_known"),
        ),
        sa.CheckConstraint(
            "(state = 'running') = (lease IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_jobs_running_is_leased"),
        ),
        sa.CheckConstraint(
            "(state IN ('done', 'dead', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished_at_a_time"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )


# The columns of each index, and the rows that it holds.
_JOB_INDEXES = {
    "ix_jobs_waiting": (("queue", "priority", "run_at", "id"), "state = 'waiting'"),
    "ix_jobs_running": (("lease_until",), "state = 'running'"),
    "ix_jobs_dead": (("id",), "state = 'dead'"),
    "ix_jobs_finished": (("finished_at",), "state IN ('done', 'cancelled')"),
}
_UNFINISHED = "unique_key IS NOT NULL AND state IN ('waiting', 'running')"


def _create_jobs() -> None:
    op.create_table("jobs", *_job_columns(), *_job_rules(), postgresql_with=_CHANGED_OFTEN)
    for name, (columns, rows) in _JOB_INDEXES.items():
        op.create_index(name, "jobs", list(columns), postgresql_where=sa.text(rows))
    op.create_index(
        "uq_jobs_unique_key",
        "jobs",
        ["kind", "unique_key"],
        unique=True,
        postgresql_where=sa.text(_UNFINISHED),
    )


def _create_job_schedules() -> None:
    op.create_table(
        "job_schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timing", sa.Text(), nullable=False),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_job_schedules"),
    )


def _create_job_actions() -> None:
    op.create_table(
        "job_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _moment("at"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_job_actions"),
    )
    op.create_index("ix_job_actions_at", "job_actions", ["at"])


_TABLES = {
    "jobs": _create_jobs,
    "job_schedules": _create_job_schedules,
    "job_actions": _create_job_actions,
}


def upgrade() -> None:
    create_chosen(_TABLES)


def downgrade() -> None:
    drop_chosen(_TABLES)
