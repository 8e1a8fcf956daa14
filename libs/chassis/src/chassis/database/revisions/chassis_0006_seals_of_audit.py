"""Entries of the audit log wait to be sealed; seals can only be appended to.

The trigger needs a lock that waits until the transactions that write to `audit_log` have ended. So
once this revision is committed, an entry either was committed before, or the trigger queues it. The
next revision queues the former.

Transactions that begin to write wait behind whoever waits for such a lock. A release that runs
during the upgrade would stand still for as long as its slowest transaction. So the lock is tried
for a moment, again and again, and the others write in between. It is the last thing that the
revision takes: it is held for a few milliseconds.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.database.choices import choice, create_chosen, drop_chosen

revision = "chassis_0006"
down_revision = "chassis_0005"
branch_labels = None
depends_on = None

_LOCK = """
    DO $$
    BEGIN
        PERFORM set_config('lock_timeout', '100ms', true);
        FOR attempt IN 1..100 LOOP
            BEGIN
                LOCK TABLE audit_log IN SHARE ROW EXCLUSIVE MODE;
                RETURN;
            EXCEPTION WHEN lock_not_available THEN
                PERFORM pg_sleep(0.2);
            END;
        END LOOP;
        RAISE EXCEPTION 'A transaction has been writing to audit_log for 30 s: lock timeout. End '
            'it, then run the migration again.' USING ERRCODE = 'lock_not_available';
    END $$
"""
# The trigger may run in a session with another search path.
_QUEUE = """
    CREATE FUNCTION queue_audit_entry() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
    BEGIN
        INSERT INTO audit_unsealed (id) VALUES (NEW.id);
        RETURN NULL;
    END $$
"""
_QUEUE_TRIGGER = """
    CREATE TRIGGER queue_entry AFTER INSERT ON audit_log
        FOR EACH ROW EXECUTE FUNCTION queue_audit_entry()
"""
_APPEND_ONLY = """
    CREATE FUNCTION refuse_change_of_audit_seals() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND OLD.newest_at < now() - interval '30 days' THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'audit_seals is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_APPEND_ONLY_TRIGGER = """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_seals
        FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit_seals()
"""


def _create_unsealed() -> None:
    op.execute(_QUEUE)
    op.execute(_LOCK)  # the foreign key and the trigger need it
    op.create_table(
        "audit_unsealed",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_unsealed"),
        sa.ForeignKeyConstraint(
            ["id"], ["audit_log.id"], name="fk_audit_unsealed_id_audit_log", ondelete="CASCADE"
        ),
    )
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
    )
    op.execute(_APPEND_ONLY)
    op.execute(_APPEND_ONLY_TRIGGER)


_TABLES = {"audit_seals": _create_seals, "audit_unsealed": _create_unsealed}


def upgrade() -> None:
    create_chosen(_TABLES)


def downgrade() -> None:
    if "audit_unsealed" in choice("chassis_tables"):
        op.execute("DROP TRIGGER queue_entry ON audit_log")
        op.execute("DROP FUNCTION queue_audit_entry")
    if "audit_seals" in drop_chosen(_TABLES):
        op.execute("DROP FUNCTION refuse_change_of_audit_seals")
