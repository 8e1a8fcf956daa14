"""Take the chassis' audit log with its queue and its seals, which a new database has already.

Their definitions are those of the revisions chassis_0003 to chassis_0008.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = "chassis_0007"

_INDEXES = {
    "ix_audit_log_at_id": ["at", "id"],
    "ix_audit_log_action_at_id": ["action", "at", "id"],
    "ix_audit_log_subject_at_id": ["subject", "at", "id"],
    "ix_audit_log_actor_id_at_id": ["actor_id", "at", "id"],
}
_APPEND_ONLY = """
    CREATE OR REPLACE FUNCTION refuse_change_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND OLD.{time} < now() - interval '30 days' THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION '{table} is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_APPEND_ONLY_TRIGGER = """
    CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_{table}()
"""
_QUEUE = """
    CREATE OR REPLACE FUNCTION queue_audit_entry() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
    BEGIN
        INSERT INTO audit_unsealed (id) VALUES (NEW.id);
        RETURN NULL;
    END $$
"""
_QUEUE_TRIGGER = """
    CREATE OR REPLACE TRIGGER queue_entry AFTER INSERT ON audit_log
        FOR EACH ROW EXECUTE FUNCTION queue_audit_entry()
"""


def upgrade() -> None:
    _create_log()
    _create_queue()
    _create_seals()


def _create_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("session_id", sa.Uuid()),
        sa.Column("api_key_id", sa.Uuid()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("traceparent", sa.Text()),
        sa.Column("methods", postgresql.ARRAY(sa.Text())),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        if_not_exists=True,
    )
    for name, columns in _INDEXES.items():
        op.create_index(name, "audit_log", columns, if_not_exists=True)
    _protect("audit_log", "at")


def _create_queue() -> None:
    op.create_table(
        "audit_unsealed",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_unsealed"),
        sa.ForeignKeyConstraint(
            ["id"], ["audit_log.id"], name="fk_audit_unsealed_id_audit_log", ondelete="CASCADE"
        ),
        if_not_exists=True,
    )
    op.execute(_QUEUE)
    op.execute(_QUEUE_TRIGGER)


def _create_seals() -> None:
    op.create_table(
        "audit_seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("newest_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("entry_hashes", postgresql.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_seals"),
        if_not_exists=True,
    )
    _protect("audit_seals", "newest_at")
    # chassis_0008 has run before or runs after this.
    op.execute(
        "CREATE INDEX IF NOT EXISTS ix_audit_seals_entry_ids ON audit_seals USING gin (entry_ids)"
    )


def _protect(table: str, time: str) -> None:
    for sql in (_APPEND_ONLY, _APPEND_ONLY_TRIGGER):
        op.execute(sql.replace("{table}", table).replace("{time}", time))


def downgrade() -> None:
    pass  # the chassis' revisions drop them
