"""The tables of messaging, of idempotency and of operations."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.database.choices import choice, create_chosen, drop_chosen

revision = "chassis_0001"
down_revision = None
branch_labels = ("chassis",)
depends_on = None

# Rows are deleted all the time, so vacuum after a number of dead rows, without pauses.
_ALWAYS_EMPTIED = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "100000",
    "toast.autovacuum_vacuum_scale_factor": "0",
    "toast.autovacuum_vacuum_threshold": "10000",
    "toast.autovacuum_vacuum_cost_delay": "0",
}


def _moment(name: str, default: str = "now()") -> sa.Column[Any]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text(default), nullable=False
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True, cache=1), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        _moment("created_at", "clock_timestamp()"),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
        postgresql_with=_ALWAYS_EMPTIED,
    )
    if topics := choice("urgent_topics"):
        listed = ", ".join(repr(topic) for topic in sorted(topics))
        op.create_index(
            "ix_outbox_urgent",
            "outbox",
            ["seq"],
            postgresql_where=sa.text(f"topic IN ({listed})"),
        )


def _create_outbox_refusals() -> None:
    op.create_table(
        "outbox_refusals",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        _moment("first_refused_at"),
        _moment("last_refused_at"),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox_refusals"),
    )


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        _moment("received_at"),
        sa.PrimaryKeyConstraint("consumer", "source", "id", name="pk_inbox"),
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"])


def _create_parked_keys() -> None:
    op.create_table(
        "parked_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("blocking", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        _moment("parked_at"),
        sa.CheckConstraint(
            "(state = 'retrying') = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_parked_keys_retried_at_a_time"),
        ),
        sa.CheckConstraint(
            "state IN ('retrying', 'dead', 'unknown')", name=op.f("ck_parked_keys_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_parked_keys"),
    )
    op.create_index(
        "ix_parked_keys_due",
        "parked_keys",
        ["next_attempt_at"],
        postgresql_where=sa.text("state = 'retrying'"),
    )
    op.create_index(
        "uq_parked_keys_blocking",
        "parked_keys",
        ["consumer", "topic", "key"],
        unique=True,
        postgresql_where=sa.text("blocking"),
        postgresql_nulls_not_distinct=True,
    )


def _create_parked_messages() -> None:
    op.create_table(
        "parked_messages",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("parked_key_id", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("log_offset", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        _moment("parked_at"),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["parked_key_id"],
            ["parked_keys.id"],
            name="fk_parked_messages_parked_key_id_parked_keys",
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_parked_messages"),
    )
    op.create_index(
        "ix_parked_messages_parked_key_id_seq", "parked_messages", ["parked_key_id", "seq"]
    )


def _create_dead_letter_actions() -> None:
    op.create_table(
        "dead_letter_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _moment("at"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letter_actions"),
    )
    op.create_index("ix_dead_letter_actions_at", "dead_letter_actions", ["at"])


def _create_replays() -> None:
    op.create_table(
        "replays",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        _moment("requested_at"),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("emitted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_replays"),
    )
    op.create_index(
        "uq_replays_unfinished",
        "replays",
        ["snapshot"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Uuid(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("caller", "endpoint", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


_TABLES = {
    "outbox": _create_outbox,
    "outbox_refusals": _create_outbox_refusals,
    "inbox": _create_inbox,
    "parked_keys": _create_parked_keys,
    "parked_messages": _create_parked_messages,
    "dead_letter_actions": _create_dead_letter_actions,
    "replays": _create_replays,
    "idempotency_keys": _create_idempotency_keys,
}


def upgrade() -> None:
    create_chosen(_TABLES)


def downgrade() -> None:
    drop_chosen(_TABLES)
