"""The audit log, which can only be appended to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.database.choices import create_chosen, drop_chosen

revision = "chassis_0003"
down_revision = "chassis_0002"
branch_labels = None
depends_on = None

_TABLE = "audit_log"
_APPEND_ONLY = """
    CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND OLD.at < now() - interval '30 days' THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_TRIGGER = """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit_log()
"""


def _create_audit_log() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_at", _TABLE, ["at"])
    op.create_index("ix_audit_log_subject", _TABLE, ["subject", "id"])
    op.create_index("ix_audit_log_actor_id", _TABLE, ["actor_id", "id"])
    op.execute(_APPEND_ONLY)
    op.execute(_TRIGGER)


_TABLES = {_TABLE: _create_audit_log}


def upgrade() -> None:
    create_chosen(_TABLES)


def downgrade() -> None:
    if drop_chosen(_TABLES):
        op.execute("DROP FUNCTION refuse_change_of_audit_log")
