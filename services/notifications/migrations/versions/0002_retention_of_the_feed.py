"""Add the index that finds old feed entries to delete."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_feed_entries_created_at", "feed_entries", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_feed_entries_created_at", table_name="feed_entries")
