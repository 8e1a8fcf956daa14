"""Count failed log-ins per account, and per account and client address."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_in_buckets",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("empty_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("key", name="pk_log_in_buckets"),
    )
    op.create_index("ix_log_in_buckets_expires_at", "log_in_buckets", ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_log_in_buckets_expires_at", table_name="log_in_buckets")
    op.drop_table("log_in_buckets")
