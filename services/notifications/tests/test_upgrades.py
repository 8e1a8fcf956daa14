"""The schema of the release before the audit log is brought to the newest one."""

import asyncio

from chassis.database.migrations import upgrade
from testkit.databases import ServiceDatabase

# In that release the chassis made none of these tables here.
BEFORE = """
    DROP TABLE audit_seals, audit_unsealed, audit_log;
    DROP FUNCTION refuse_change_of_audit_log, refuse_change_of_audit_seals, queue_audit_entry;
    DELETE FROM alembic_version;
    INSERT INTO alembic_version VALUES ('0013'), ('chassis_0007');
    DROP TABLE stream_tickets, webhooks, deliveries CASCADE;
    ALTER TABLE jobs DROP COLUMN undeclared_since;
    ALTER TABLE recipients DROP COLUMN is_active;
    ALTER TABLE feed_entries DROP COLUMN caused_at;
"""


async def test_a_database_without_the_audit_log_gets_it_with_all_indexes(
    postgres_url, service_directory
):
    database = await ServiceDatabase.create(postgres_url, service_directory)
    async with database.connected(as_owner=True) as connection:
        indexes = "SELECT indexname FROM pg_indexes WHERE tablename LIKE 'audit%' ORDER BY 1"
        new = await connection.fetch(indexes)
        await connection.execute(BEFORE)
        await asyncio.to_thread(upgrade, service_directory, database.owner_url)
        assert await connection.fetch(indexes) == new
