"""The list of the audit log reads each of its pages from an index, by time."""

from alembic import op

from chassis.database.choices import choice

revision = "chassis_0005"
down_revision = "chassis_0004"
branch_labels = None
depends_on = None

_NEW = {
    "ix_audit_log_at_id": "audit_log (at, id)",
    "ix_audit_log_action_at_id": "audit_log (action, at, id)",
    "ix_audit_log_subject_at_id": "audit_log (subject, at, id)",
    "ix_audit_log_actor_id_at_id": "audit_log (actor_id, at, id)",
}
_OLD = {
    "ix_audit_log_at": "audit_log (at)",
    "ix_audit_log_subject": "audit_log (subject, id)",
    "ix_audit_log_actor_id": "audit_log (actor_id, id)",
}


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    if "audit_log" not in choice("chassis_tables"):
        return
    # CONCURRENTLY lets others write while an index is built, and does not run in a transaction.
    # An attempt that failed leaves an invalid index, which is dropped first.
    with op.get_context().autocommit_block():
        for name, definition in new.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
        for name in old:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def upgrade() -> None:
    _replace(_OLD, _NEW)


def downgrade() -> None:
    _replace(_NEW, _OLD)
