"""Who acts is recorded with how they were authenticated."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.database.choices import choice

revision = "chassis_0004"
down_revision = "chassis_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if "audit_log" in choice("chassis_tables"):
        op.add_column("audit_log", sa.Column("methods", postgresql.ARRAY(sa.Text()), nullable=True))


def downgrade() -> None:
    if "audit_log" in choice("chassis_tables"):
        op.drop_column("audit_log", "methods")
