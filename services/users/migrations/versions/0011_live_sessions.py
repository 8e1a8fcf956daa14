"""Add the index of an account's live sessions."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NAME = "ix_sessions_live"


def upgrade() -> None:
    # Building it takes long in a large table. CONCURRENTLY lets others write meanwhile, and does
    # not run in a transaction. What an attempt that failed left is no index that can be used.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_NAME}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {_NAME} ON sessions (user_id, created_at, id)"
            " WHERE revoked_at IS NULL"
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_NAME}")
