"""Add to recipients which addresses get mails of notifications, and how many."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "recipients",
        sa.Column("email_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("recipients", sa.Column("email_refused_at", sa.DateTime(timezone=True)))
    op.add_column("recipients", sa.Column("mails_due_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    for column in ("mails_due_at", "email_refused_at", "email_verified"):
        op.drop_column("recipients", column)
