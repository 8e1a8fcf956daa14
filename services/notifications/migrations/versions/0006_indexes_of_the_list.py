"""Add the indexes that list read notifications, and that find old ones to delete."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_notifications_read": "notifications (user_id, event_id) WHERE read_at IS NOT NULL",
    "ix_notifications_created_at": "notifications (created_at)",
}


def upgrade() -> None:
    # Building one takes long in a large table. CONCURRENTLY lets others write meanwhile, and does
    # not run in a transaction. What an attempt that failed left is no index that can be used.
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
