"""Parking, replays, and an outbox that vacuum keeps small."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE outbox SET ("
        "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,"
        " autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0,"
        " autovacuum_analyze_threshold = 100000, toast.autovacuum_vacuum_scale_factor = 0,"
        " toast.autovacuum_vacuum_threshold = 10000, toast.autovacuum_vacuum_cost_delay = 0)"
    )
    op.create_table(
        "dead_letter_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter_actions")),
    )
    op.create_index(op.f("ix_dead_letter_actions_at"), "dead_letter_actions", ["at"], unique=False)
    op.create_table(
        "outbox_refusals",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column(
            "first_refused_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "last_refused_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox_refusals")),
    )
    op.create_table(
        "parked_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("blocking", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "parked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint(
            "(state = 'retrying') = (next_attempt_at IS NOT NULL)",
            name=op.f("ck_parked_keys_retried_at_a_time"),
        ),
        sa.CheckConstraint(
            "state IN ('retrying', 'dead', 'unknown')", name=op.f("ck_parked_keys_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parked_keys")),
    )
    op.create_index(
        "ix_parked_keys_due",
        "parked_keys",
        ["next_attempt_at"],
        unique=False,
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
    op.create_table(
        "replays",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("emitted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
    )
    op.create_index(
        "uq_replays_unfinished",
        "replays",
        ["snapshot"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
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
        sa.Column(
            "parked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["parked_key_id"],
            ["parked_keys.id"],
            name=op.f("fk_parked_messages_parked_key_id_parked_keys"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_parked_messages")),
    )
    op.create_index(
        "ix_parked_messages_parked_key_id_seq",
        "parked_messages",
        ["parked_key_id", "seq"],
        unique=False,
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE outbox RESET ("
        "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,"
        " autovacuum_vacuum_cost_delay, autovacuum_analyze_scale_factor,"
        " autovacuum_analyze_threshold, toast.autovacuum_vacuum_scale_factor,"
        " toast.autovacuum_vacuum_threshold, toast.autovacuum_vacuum_cost_delay)"
    )
    op.drop_index("ix_parked_messages_parked_key_id_seq", table_name="parked_messages")
    op.drop_table("parked_messages")
    op.drop_index(
        "uq_replays_unfinished",
        table_name="replays",
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.drop_table("replays")
    op.drop_index(
        "uq_parked_keys_blocking",
        table_name="parked_keys",
        postgresql_where=sa.text("blocking"),
        postgresql_nulls_not_distinct=True,
    )
    op.drop_index(
        "ix_parked_keys_due",
        table_name="parked_keys",
        postgresql_where=sa.text("state = 'retrying'"),
    )
    op.drop_table("parked_keys")
    op.drop_table("outbox_refusals")
    op.drop_index(op.f("ix_dead_letter_actions_at"), table_name="dead_letter_actions")
    op.drop_table("dead_letter_actions")
