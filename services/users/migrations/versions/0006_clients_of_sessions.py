"""Record how a log-in session was opened, from where, and when it was last used."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Every session so far was opened with a password. The time of its last use is not known, so it
    # counts as used now: the default is computed once, and no row is rewritten.
    op.add_column(
        "sessions",
        sa.Column(
            "methods",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{pwd}'"),
            nullable=False,
        ),
    )
    op.add_column("sessions", sa.Column("address", sa.Text(), nullable=True))
    op.add_column("sessions", sa.Column("user_agent", sa.Text(), nullable=True))
    op.add_column(
        "sessions",
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.add_column("sessions", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("expires_at", "last_used_at", "user_agent", "address", "methods"):
        op.drop_column("sessions", name)
