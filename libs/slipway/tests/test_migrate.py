"""Schemas, roles and migrations of a database, made with what a service's folder holds."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from blockbuster import BlockBuster

from chassis.testing.databases import PASSWORD
from slipway import migrate as migration
from slipway.database import SERVICES, Database, role_names
from slipway.errors import SlipwayError
from slipway.migration import is_current, newest_revisions
from slipway.settings import SlipwaySettings

ENVIRONMENT = """
from sqlalchemy import Column, Integer, MetaData, Table

from chassis.database.migrations import run_environment

metadata = MetaData()
Table("things", metadata, Column("id", Integer, primary_key=True))
run_environment(metadata)
"""
TEMPLATE = '''"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = depends_on = None


def upgrade():
    ${upgrades if upgrades else "pass"}
'''


@pytest.fixture
async def database(postgres_url: str) -> Database:
    database = Database(
        superuser_url=postgres_url,
        name=f"slipway_{uuid.uuid4().hex[:12]}",
        passwords=dict.fromkeys(role_names(), PASSWORD),
    )
    await database.prepare()
    await database.prepare()  # brings it to the same state again
    return database


@pytest.fixture(autouse=True)
def _reading_files(_no_blocking_calls: BlockBuster) -> Iterator[None]:
    """Alembic reads its files in an event loop of its own, which serves nobody else."""
    _no_blocking_calls.deactivate()
    yield
    _no_blocking_calls.activate()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for service in ("users", "orders", "notifications"):
        folder = tmp_path / "services" / service / "migrations"
        (folder / "versions").mkdir(parents=True)
        (folder / "env.py").write_text(ENVIRONMENT)
        (folder / "script.py.mako").write_text(TEMPLATE)
    return tmp_path


def settings_of(url: str) -> SlipwaySettings:
    return SlipwaySettings.model_validate({"database_owner_url": url})


async def test_a_migration_is_written_and_applied(database: Database, root: Path) -> None:
    def work() -> tuple[str, ...]:
        settings = settings_of(database.owner_url("orders"))
        migration.write_migration("orders", "Things", root=root, settings=settings)
        return migration.migrate("orders", root=root, settings=settings)

    assert await asyncio.to_thread(work) == ("orders",)
    assert (root / "services/orders/migrations/versions/0001_things.py").exists()
    connection = await asyncpg.connect(database.runtime_url("orders"))
    try:
        assert await connection.fetch("SELECT id FROM orders.things") == []
    finally:
        await connection.close()


async def test_what_is_pending_is_seen(database: Database, root: Path) -> None:
    def work(name: str) -> None:
        settings = settings_of(database.owner_url(name))
        migration.migrate(name, root=root, settings=settings)

    assert not await is_current(root, database)
    for service in SERVICES:
        await asyncio.to_thread(work, service)
    assert await is_current(root, database)
    file = root / "services" / "orders" / "migrations" / "versions" / "0001_things.py"
    file.write_text('revision: str = "0001"\ndown_revision: str | None = None\n')
    assert not await is_current(root, database)


def test_the_newest_revision_is_the_one_that_none_follows(tmp_path: Path) -> None:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    for name, before in (("a", None), ("b", "a"), ("c", "a"), ("d", ("b", "c"))):
        (versions / f"{name}.py").write_text(f"revision = {name!r}\ndown_revision = {before!r}\n")
    assert newest_revisions(tmp_path) == {"d"}
    (versions / "d.py").unlink()
    assert newest_revisions(tmp_path) == {"b", "c"}


async def test_each_role_sees_its_own_schema_only(database: Database) -> None:
    connection = await asyncpg.connect(database.runtime_url("users"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE users.things (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT FROM orders.alembic_version")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("service", "url", "reason"),
    [
        ("gateway", "postgresql://x@127.0.0.1:1/x", "no service 'gateway' with a schema"),
        ("orders", "postgresql://x@127.0.0.1:1/x", r"127.0.0.1:1/x can't be used.*slipway up"),
    ],
)
def test_what_is_wrong_is_named(root: Path, service: str, url: str, reason: str) -> None:
    with pytest.raises(SlipwayError, match=reason):
        migration.migrate(service, root=root, settings=settings_of(url))


async def test_alembic_s_own_refusals_are_named(database: Database, tmp_path: Path) -> None:
    def work() -> tuple[str, ...]:
        settings = settings_of(database.owner_url("orders"))
        return migration.migrate("orders", root=tmp_path, settings=settings)

    with pytest.raises(SlipwayError, match="Alembic refuses for orders"):
        await asyncio.to_thread(work)


def test_without_a_state_directory_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="`slipway up` makes the database"):
        migration.migrate(None, root=tmp_path, settings=SlipwaySettings())
    assert list(tmp_path.iterdir()) == []
