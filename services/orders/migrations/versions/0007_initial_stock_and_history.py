"""Give products their initial stock, and orders the first entry of their history.

Each of these revisions locks one table at most, so none waits for a request that waits for it.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# What the products of the build before had at first: what is left, and what was ordered.
_INITIAL_STOCK = """
    INSERT INTO stock_adjustments (id, product_id, delta, stock, reason, created_at)
    SELECT gen_random_uuid(), id, initial, initial, 'Initial stock', created_at
    FROM (
        SELECT p.id, p.created_at, p.stock + coalesce(sum(line.quantity), 0) AS initial
        FROM products AS p LEFT JOIN (
            SELECT l.product_id, l.quantity
            FROM order_lines AS l JOIN orders AS o ON o.id = l.order_id
            WHERE o.status <> 'cancelled'
        ) AS line ON line.product_id = p.id
        GROUP BY p.id
    ) AS p
    WHERE initial > 0 AND NOT EXISTS (SELECT FROM stock_adjustments WHERE product_id = p.id)
"""
# So far an order could only be placed, by its customer.
_HISTORY = """
    INSERT INTO order_history (order_id, version, status, created_at, actor_kind, actor_id)
    SELECT id, version, status, created_at, 'user', customer_id FROM orders
    ON CONFLICT DO NOTHING
"""
# What the downgrade of 0004 wrote.
_ERASE = """
    UPDATE orders SET shipping_address = NULL WHERE shipping_address = '{"name": "-", "line1": "-",
        "line2": null, "city": "-", "postal_code": "-", "country": "AQ"}'
"""


def upgrade() -> None:
    op.execute(_INITIAL_STOCK)
    op.execute(_HISTORY)
    op.execute(_ERASE)


def downgrade() -> None:
    """Keep the rows: they go with their tables."""
