"""A migration that fails, or is killed, changes nothing, and the release before goes on serving."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from orders.declaration import SERVICE
from testkit.databases import ServiceDatabase
from testkit.waiting import until

ROOT = Path(__file__).parents[2]
REVISION = """
import sys
from alembic import op

revision, down_revision, branch_labels, depends_on = "next", "0008", None, None


def upgrade():
    op.execute("CREATE TABLE colours (name text PRIMARY KEY)")
    {middle}
    op.execute("ALTER TABLE products ADD COLUMN colour text")
    op.execute("ALTER TABLE products ADD CONSTRAINT ck_products_next CHECK ({rule})")
"""
PAUSE = 'print("between", flush=True); sys.stdin.readline()'
LONG = 'op.execute("SELECT pg_sleep(3600)")'
KEPT, BROKEN = "stock >= 0", "stock > 1000000"
OWN = "WHERE connamespace = 'orders'::regnamespace"
COLUMNS = "table_name, column_name, data_type, is_nullable"
SCHEMA = (
    f"SELECT {COLUMNS} FROM information_schema.columns WHERE table_schema = 'orders'",
    f"SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint {OWN}",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'orders'",
    "SELECT version_num FROM orders.alembic_version",
    "SELECT id, name FROM orders.products WHERE sku = 'FIRST'",
)


@pytest.fixture(scope="session")
def declaration():
    return SERVICE


@pytest.fixture
async def service_database(postgres_url, service_directory):
    """Return a database of this test alone: it gets a revision that no other test knows."""
    return await ServiceDatabase.create(postgres_url, service_directory)


@pytest.fixture
def next_release(tmp_path):
    """The folder of the next release of orders, which has one revision more."""
    directory = tmp_path / "orders"
    shutil.copytree(ROOT / "services/orders/migrations", directory / "migrations")
    return directory


@pytest.fixture
def add_product(client, tokens):
    """Have the release before, which serves, store a product and list it."""
    headers = tokens.headers(scopes=["catalog:write"])
    price = {"amount": 1999, "currency": "EUR"}

    async def add(sku: str) -> None:
        body = {"sku": sku, "name": sku, "description": "", "price": price, "stock": 1}
        added = await client.post("/api/v1/products", json=body, headers=headers)
        assert added.status_code == 201, added.text
        listed = await client.get(f"/api/v1/products/{added.json()['id']}")
        assert listed.status_code == 200, listed.text

    return add


def write_revision(directory: Path, *, middle: str, rule: str) -> None:
    text = REVISION.format(middle=middle, rule=rule)
    (directory / "migrations/versions/next.py").write_text(text, encoding="utf-8")


@asynccontextmanager
async def migrating(directory: Path, database: ServiceDatabase) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chassis.run", "orders", "migrate",
        cwd=directory, stdin=PIPE, stdout=PIPE, stderr=PIPE,
        env=os.environ | {"DATABASE_OWNER_URL": database.owner_url},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def between_its_statements(process: Process) -> None:
    assert process.stdout is not None
    assert await process.stdout.readline() == b"between\n"


async def schema_of(database: ServiceDatabase) -> list[list[tuple[object, ...]]]:
    connection = await asyncpg.connect(database.superuser_url)
    try:
        return [sorted(map(tuple, await connection.fetch(query))) for query in SCHEMA]
    finally:
        await connection.close()


async def assert_that_the_next_attempt_works(
    directory: Path, database: ServiceDatabase, before: list[list[tuple[object, ...]]]
) -> None:
    assert await schema_of(database) == before
    write_revision(directory, middle="", rule=KEPT)
    async with asyncio.timeout(60), migrating(directory, database) as process:
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert ("next",) in (await schema_of(database))[3]


async def test_a_migration_that_fails_leaves_schema_and_release_as_they_were(
    next_release, database, add_product
):
    await add_product("FIRST")
    before = await schema_of(database)
    write_revision(next_release, middle=PAUSE, rule=BROKEN)
    async with migrating(next_release, database) as process:
        await between_its_statements(process)
        await add_product("MEANWHILE")
        _, errors = await process.communicate(b"\n")
    assert process.returncode == 1
    assert "ck_products_next" in errors.decode()
    assert "rolled back" in errors.decode()
    assert "Traceback" not in errors.decode()
    await add_product("AFTERWARDS")
    await assert_that_the_next_attempt_works(next_release, database, before)
    await add_product("LAST")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_migration_that_is_killed_between_its_statements_leaves_all_as_it_was(
    next_release, database, add_product, how
):
    await add_product("FIRST")
    before = await schema_of(database)
    write_revision(next_release, middle=PAUSE, rule=KEPT)
    async with migrating(next_release, database) as process:
        await between_its_statements(process)
        await add_product("MEANWHILE")
        process.send_signal(how)
        assert await process.wait() != 0
    await add_product("AFTERWARDS")
    await assert_that_the_next_attempt_works(next_release, database, before)
    await add_product("LAST")


async def test_a_statement_whose_process_was_killed_does_not_hold_its_locks_until_it_ends(
    next_release, database, add_product
):
    """The server looks for the client each second, so the next attempt need not wait an hour."""
    await add_product("FIRST")
    before = await schema_of(database)
    write_revision(next_release, middle=LONG, rule=KEPT)
    async with database.connected(as_owner=True) as connection:
        running = (
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            " AND datname = current_database()"
        )

        async def sleeps() -> bool:
            return bool(await connection.fetchval(running))

        async with migrating(next_release, database) as process:
            await until(sleeps)
            process.kill()
            await process.wait()
    await add_product("AFTERWARDS")
    await assert_that_the_next_attempt_works(next_release, database, before)
