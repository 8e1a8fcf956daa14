"""Add to mails the notification that one carries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_ADDRESS = op.f("ck_mails_address_while_waiting")


def upgrade() -> None:
    op.add_column("mails", sa.Column("notification_id", sa.Uuid()))
    op.add_column("mails", sa.Column("category", sa.Text()))
    op.add_column("mails", sa.Column("content", postgresql.JSONB()))
    op.drop_constraint(_ADDRESS, "mails", type_="check")
    op.create_check_constraint(
        _ADDRESS,
        "mails",
        "(state = 'waiting' AND notification_id IS NULL) = (recipient IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_mails_content_while_waiting"),
        "mails",
        "(state = 'waiting' AND notification_id IS NOT NULL) = (content IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_mails_category_of_notification"),
        "mails",
        "(notification_id IS NULL) = (category IS NULL)",
    )


def downgrade() -> None:
    op.execute("DELETE FROM mails WHERE notification_id IS NOT NULL")
    op.drop_constraint(op.f("ck_mails_category_of_notification"), "mails", type_="check")
    op.drop_constraint(op.f("ck_mails_content_while_waiting"), "mails", type_="check")
    op.drop_constraint(_ADDRESS, "mails", type_="check")
    op.create_check_constraint(
        _ADDRESS, "mails", "(state = 'waiting') = (recipient IS NOT NULL)"
    )
    for column in ("content", "category", "notification_id"):
        op.drop_column("mails", column)
