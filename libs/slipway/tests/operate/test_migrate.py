"""Schemas, roles and migrations of a database, made from a service's folder."""

import asyncio
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from blockbuster import BlockBuster

from slipway.errors import SlipwayError
from slipway.local.migration import is_current
from slipway.operate import migrate as migration
from slipway.operate.database import Database
from slipway.services import SERVICES, role_names
from slipway.settings import SlipwaySettings
from testkit.databases import PASSWORD

METADATA = """
from sqlalchemy import MetaData


class Base:
    metadata = MetaData()
"""
MODELS = """
from sqlalchemy import Column, Integer, Table

from {service}.metadata import Base

Table("things", Base.metadata, Column("id", Integer, primary_key=True))
"""


@pytest.fixture
async def database(postgres_url: str) -> Database:
    database = Database(
        superuser_url=postgres_url,
        name=f"slipway_{uuid.uuid4().hex[:12]}",
        passwords=dict.fromkeys(role_names(), PASSWORD),
    )
    await database.prepare()
    await database.prepare()  # a second run leads to the same state
    return database


@pytest.fixture(autouse=True)
def _reading_files(_no_blocking_calls: BlockBuster) -> Iterator[None]:
    """Allow blocking reads: Alembic reads files in a separate event loop, which serves nobody."""
    _no_blocking_calls.deactivate()
    yield
    _no_blocking_calls.activate()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Services with other tables than ours; separate processes import them."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "slipway-workspace"\n')
    for service in SERVICES:
        package = tmp_path / "services" / service / "src" / service
        package.mkdir(parents=True)
        (tmp_path / "services" / service / "migrations").mkdir()
        (package / "__init__.py").touch()
        (package / "metadata.py").write_text(METADATA)
        (package / "models.py").write_text(MODELS.format(service=service))
    return tmp_path


def settings_of(url: str) -> SlipwaySettings:
    return SlipwaySettings.model_validate({"database_owner_url": url})


async def slipway(root: Path, url: str, *arguments: str, status: int = 0) -> str:
    sources = (str(root / "services" / service / "src") for service in SERVICES)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "slipway",
        *arguments,
        cwd=root,
        env={**os.environ, "DATABASE_OWNER_URL": url, "PYTHONPATH": os.pathsep.join(sources)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == status, output.decode()
    return output.decode()


async def test_what_is_pending_is_seen_written_and_applied(database: Database, root: Path) -> None:
    assert not await is_current(root, database)
    for service in SERVICES:
        await slipway(root, database.owner_url(service), "migrate", service)
    assert await is_current(root, database)
    url = database.owner_url("orders")
    await slipway(root, url, "migrations", "new", "orders", "Things")
    assert (root / "services/orders/migrations/versions/0001_things.py").exists()
    assert not await is_current(root, database)
    assert "newest revision: orders" in await slipway(root, url, "migrate", "orders")
    assert await is_current(root, database)
    connection = await asyncpg.connect(database.runtime_url("orders"))
    try:
        assert await connection.fetch("SELECT id FROM orders.things") == []
    finally:
        await connection.close()


async def test_each_role_sees_its_own_schema_only(database: Database) -> None:
    connection = await asyncpg.connect(database.runtime_url("users"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE users.things (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT FROM orders.alembic_version")
    finally:
        await connection.close()


def test_a_service_that_there_is_not_is_named(root: Path) -> None:
    with pytest.raises(SlipwayError, match="No service 'gateway' has a schema"):
        migration.migrate(
            "gateway", root=root, settings=settings_of("postgresql://x@127.0.0.1:1/x")
        )


async def test_an_unavailable_database_is_named(root: Path) -> None:
    url = "postgresql://x:secret@127.0.0.1:1/x"
    output = await slipway(root, url, "migrate", "orders", status=1)
    assert "127.0.0.1:1/x can't be used" in output
    assert "slipway up" in output
    assert "secret" not in output


async def test_alembic_s_own_refusals_are_named(database: Database, root: Path) -> None:
    """The example is a database that is not at its newest revision yet."""
    url = database.owner_url("orders")
    output = await slipway(root, url, "migrations", "new", "orders", "x", status=1)
    assert "Alembic rejects the migrations of orders" in output
    assert not (root / "services/orders/migrations/versions/0001_x.py").exists()


async def test_a_service_without_tables_is_named(database: Database, root: Path) -> None:
    (root / "services/orders/src/orders/metadata.py").unlink()
    output = await slipway(root, database.owner_url("orders"), "migrate", "orders", status=1)
    assert "the service orders declares no tables" in output
    assert "Traceback" not in output


def test_without_a_state_directory_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="Run `slipway up`"):
        migration.migrate(None, root=tmp_path, settings=SlipwaySettings())
    assert list(tmp_path.iterdir()) == []
