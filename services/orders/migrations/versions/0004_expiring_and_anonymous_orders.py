"""Add orders that expire, and those whose address was erased.

Orders that exist do not expire: until this revision nothing could confirm them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What the release before can read in place of an erased address. Revision 0007 erases it again.
_ERASED = (
    '{"name": "-", "line1": "-", "line2": null, "city": "-", "postal_code": "-", "country": "AQ"}'
)


def upgrade() -> None:
    op.add_column(
        "orders",
        sa.Column("expires", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.alter_column("orders", "shipping_address", nullable=True)


def downgrade() -> None:
    op.execute(f"UPDATE orders SET shipping_address = '{_ERASED}' WHERE shipping_address IS NULL")
    op.alter_column("orders", "shipping_address", nullable=False)
    op.drop_column("orders", "expires")
