"""Add the indexes of the lists and of the search."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SEARCH_VECTOR = (
    "to_tsvector('simple'::regconfig, translate(normalize((name || ' '::text) || sku, NFKC), "
    r"""'!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~'::text, '                                '::text))"""
)
_INDEXES = {
    "ix_products_active_created_at_id": "products (created_at, id) WHERE active",
    "ix_products_search": f"products USING gin ({_SEARCH_VECTOR})",
    "ix_orders_created_at_id": "orders (created_at, id)",
    "ix_orders_status_created_at_id": "orders (status, created_at, id)",
    "ix_orders_expiring": "orders (created_at, id) WHERE expires AND status = 'placed'",
}


def upgrade() -> None:
    # Building one takes long in a large table. CONCURRENTLY lets others write meanwhile, and does
    # not run in a transaction. What an attempt that failed left is no index that can be used.
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
