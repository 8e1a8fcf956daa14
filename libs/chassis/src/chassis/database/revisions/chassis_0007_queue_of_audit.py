"""Entries from before the trigger wait to be sealed, too."""

from alembic import op

from chassis.database.choices import choice

revision = "chassis_0007"
down_revision = "chassis_0006"
branch_labels = None
depends_on = None

_QUEUE = """
    INSERT INTO audit_unsealed (id)
    SELECT id FROM audit_log EXCEPT SELECT unnest(entry_ids) FROM audit_seals
    ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    if "audit_unsealed" in choice("chassis_tables"):
        op.execute(_QUEUE)


def downgrade() -> None:
    pass  # the queue goes with its table
