"""Add the indexes of the list of accounts and of its search."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SEARCH_VECTOR = (
    "to_tsvector('simple'::regconfig, "
    "translate(normalize((full_name || ' '::text) || email, NFKC), "
    r"""'!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~'::text, '                                '::text))"""
)
_INDEXES = {
    "ix_users_search": f"users USING gin ({_SEARCH_VECTOR})",
    "ix_users_staff_created_at_id": (
        "users (created_at, id) WHERE roles && ARRAY['support', 'admin']"
    ),
    "ix_users_inactive_created_at_id": "users (created_at, id) WHERE NOT is_active",
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
