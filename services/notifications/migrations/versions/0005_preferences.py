"""Create preferences."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "preferences",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "muted", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("locale", sa.Text()),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_closed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *(
            sa.Column(
                name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
            )
            for name in ("created_at", "updated_at")
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_preferences"),
        sa.CheckConstraint(
            "NOT muted && ARRAY['security.in_app', 'security.email', 'security.webhook']",
            name=op.f("ck_preferences_security_on"),
        ),
        sa.CheckConstraint(
            "NOT is_closed OR (muted = '{}' AND locale IS NULL)",
            name=op.f("ck_preferences_closed_empty"),
        ),
    )


def downgrade() -> None:
    op.drop_table("preferences")
