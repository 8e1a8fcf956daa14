"""Create notifications, the live feed and recipients."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = ("notifications",)
depends_on = None


def _times() -> list[sa.Column]:
    return [
        sa.Column(
            name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        )
        for name in ("created_at", "updated_at")
    ]


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        *_times(),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.UniqueConstraint("user_id", "event_id", name="uq_notifications_user_id_event_id"),
        sa.UniqueConstraint(
            "source_event_id", "user_id", name="uq_notifications_source_event_id_user_id"
        ),
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id", "event_id"],
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_table(
        "feed_heads",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("feed_seq", sa.BigInteger(), nullable=False),
        *_times(),
        sa.PrimaryKeyConstraint("user_id", name="pk_feed_heads"),
    )
    op.create_table(
        "feed_entries",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("traceparent", sa.Text()),
        *_times(),
        sa.PrimaryKeyConstraint("user_id", "event_id", name="pk_feed_entries"),
    )
    op.create_table(
        "recipients",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        *_times(),
        sa.PrimaryKeyConstraint("user_id", name="pk_recipients"),
    )


def downgrade() -> None:
    for table in ("recipients", "feed_entries", "feed_heads", "notifications"):
        op.drop_table(table)
