"""The verification of the audit log finds the seal of an entry by an index."""

import sqlalchemy as sa
from alembic import op

from chassis.database.choices import choice

revision = "chassis_0008"
down_revision = "chassis_0007"
branch_labels = None
depends_on = None

_NAME = "ix_audit_seals_entry_ids"


def upgrade() -> None:
    if not _has_seals():
        return
    # CONCURRENTLY lets others write while the index is built, and does not run in a transaction.
    # An attempt that failed leaves an invalid index, which is dropped first.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_NAME}")
        op.execute(f"CREATE INDEX CONCURRENTLY {_NAME} ON audit_seals USING gin (entry_ids)")


def _has_seals() -> bool:
    """Return whether there are seals; a service that takes them later makes the index itself."""
    if "audit_seals" not in choice("chassis_tables"):
        return False
    return op.get_context().as_sql or sa.inspect(op.get_bind()).has_table("audit_seals")


def downgrade() -> None:
    if "audit_seals" in choice("chassis_tables"):
        with op.get_context().autocommit_block():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_NAME}")
