"""Keep the successor of a refresh token for a short time, for a repeated request."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("successor", sa.LargeBinary(), nullable=True))
    op.add_column("sessions", sa.Column("successor_of", sa.LargeBinary(), nullable=True))
    op.add_column(
        "sessions", sa.Column("successor_until", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "ix_sessions_successor_until",
        "sessions",
        ["successor_until"],
        postgresql_where=sa.text("successor IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_sessions_successor_until", table_name="sessions")
    op.drop_column("sessions", "successor_until")
    op.drop_column("sessions", "successor_of")
    op.drop_column("sessions", "successor")
