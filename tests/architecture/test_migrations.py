"""On a real PostgreSQL, each service's migrations create what the models declare."""

import asyncio
import importlib
from pathlib import Path

import asyncpg
import pytest
from blockbuster import BlockBuster

from chassis.database.declared import declared_tables
from chassis.database.migrations import check, downgrade, upgrade
from chassis.installed import service_names
from testkit.databases import ServiceDatabase
from testkit.drift import drift_of

ROOT = Path(__file__).parents[2]
SERVICES = service_names()
# Alembic does not compare these: rules, parts of indexes, storage.
CATALOG = """
    SELECT c.conrelid::regclass::text AS place, c.conname::text AS name,
           pg_get_constraintdef(c.oid) AS definition
    FROM pg_constraint AS c WHERE c.connamespace = current_schema()::regnamespace
      AND c.contype <> 'n' AND c.conrelid <> 'alembic_version'::regclass
    UNION ALL
    SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = current_schema() AND tablename <> 'alembic_version'
    UNION ALL
    SELECT t.relname, kind, option
    FROM pg_class AS t LEFT JOIN pg_class AS toast ON toast.oid = t.reltoastrelid
    CROSS JOIN LATERAL (
        SELECT 'storage' AS kind, unnest(t.reloptions) AS option
        UNION ALL SELECT 'toast', unnest(toast.reloptions)
    ) AS o
    WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r'
"""


@pytest.fixture(autouse=True)
def _reading_files(_no_blocking_calls: BlockBuster):
    """Allow blocking reads: Alembic reads files in a separate event loop, which serves nobody."""
    _no_blocking_calls.deactivate()
    yield
    _no_blocking_calls.activate()


async def catalog(database: ServiceDatabase) -> set[tuple[str, ...]]:
    connection = await asyncpg.connect(database.owner_url)
    try:
        return {tuple(row) for row in await connection.fetch(CATALOG)}
    finally:
        await connection.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_migrations_make_the_rules_indexes_and_storage_that_the_models_declare(
    service, postgres_url
):
    migrated = await ServiceDatabase.create(postgres_url, ROOT / "services" / service)
    metadata = declared_tables(service).metadata
    made = await ServiceDatabase.create_from_metadata(postgres_url, service, metadata)
    connection = await asyncpg.connect(made.owner_url)
    await connection.execute("CREATE TABLE alembic_version ()")
    await connection.close()
    assert await catalog(migrated) == await catalog(made)


@pytest.mark.parametrize("service", SERVICES)
async def test_migrations_go_all_the_way_down_and_up_again(service, postgres_url):
    directory = ROOT / "services" / service
    database = await ServiceDatabase.create(postgres_url, directory)
    before = await catalog(database)
    await asyncio.to_thread(downgrade, directory, database.owner_url, "base")
    connection = await asyncpg.connect(database.owner_url)
    left = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", service)
    await connection.close()
    assert [tuple(row) for row in left] == [("alembic_version",)]
    await asyncio.to_thread(upgrade, directory, database.owner_url)
    assert await catalog(database) == before
    await asyncio.to_thread(check, directory, database.owner_url)


@pytest.mark.parametrize("service", SERVICES)
def test_the_drift_check_finds_nothing(service, postgres_url):
    assert drift_of(postgres_url, ROOT / "services" / service) is None


@pytest.mark.parametrize("service", SERVICES)
def test_every_table_is_declared_where_the_migrations_look(service):
    """Migrations read only the modules named `models` and the service's metadata.py."""
    seen = set(declared_tables(service).metadata.tables)
    importlib.import_module(f"{service}.declaration")
    base = importlib.import_module(f"{service}.metadata").Base
    assert set(base.metadata.tables) == seen
    for mapper in base.registry.mappers:
        assert "models" in mapper.class_.__module__.split("."), mapper
