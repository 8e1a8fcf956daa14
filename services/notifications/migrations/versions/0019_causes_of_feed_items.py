"""Add to the feed's items when the event happened that caused them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feed_entries", sa.Column("caused_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("feed_entries", "caused_at")
