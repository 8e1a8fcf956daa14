"""Create mails."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("source_event_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("recipient", sa.Text()),
        sa.Column("token", sa.Text()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text()),
        *(
            sa.Column(
                name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
            )
            for name in ("created_at", "updated_at")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
        sa.UniqueConstraint("source_event_id", name="uq_mails_source_event_id"),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'rejected', 'expired')", name=op.f("ck_mails_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (recipient IS NOT NULL)", name=op.f("ck_mails_address_while_waiting")
        ),
        sa.CheckConstraint(
            "state = 'waiting' OR token IS NULL", name=op.f("ck_mails_token_while_waiting")
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (settled_at IS NULL)", name=op.f("ck_mails_settled_at_a_time")
        ),
    )
    op.create_index(
        "ix_mails_waiting",
        "mails",
        ["expires_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_mails_settled_at",
        "mails",
        ["settled_at"],
        postgresql_where=sa.text("state <> 'waiting'"),
    )
    op.create_index("ix_mails_user_id", "mails", ["user_id"])


def downgrade() -> None:
    op.drop_table("mails")
