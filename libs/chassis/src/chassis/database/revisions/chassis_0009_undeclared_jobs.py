"""A job whose kind is not declared waits from the moment when a worker found that."""

import sqlalchemy as sa
from alembic import op

from chassis.database.choices import choice

revision = "chassis_0009"
down_revision = "chassis_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if "jobs" in choice("chassis_tables"):
        column = sa.Column("undeclared_since", sa.DateTime(timezone=True), nullable=True)
        op.add_column("jobs", column)


def downgrade() -> None:
    if "jobs" in choice("chassis_tables"):
        op.drop_column("jobs", "undeclared_since")
