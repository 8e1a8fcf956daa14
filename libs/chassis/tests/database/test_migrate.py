"""A service's image migrates its schema by itself, and says in a sentence why it can't."""

import asyncio
import socket
import sys
from pathlib import Path

import asyncpg
import pytest

from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from chassis.testing.databases import ServiceDatabase

ENVIRONMENT = """
from sqlalchemy import MetaData

from chassis.database.migrations import run_environment

run_environment(MetaData())
"""
REVISION = """
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE things (id integer PRIMARY KEY)")
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "migrations" / "env.py").write_text(ENVIRONMENT)
    (versions / "0001_things.py").write_text(REVISION)
    return tmp_path


async def migrate(directory: Path, url: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "chassis.database.migrate",
        cwd=directory,
        env={"DATABASE_OWNER_URL": url, "STARTUP_WAIT": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_the_schema_is_brought_to_its_newest_revision(directory, postgres_url):
    database = await ServiceDatabase.create_empty(postgres_url, "orders")
    for parameters in ("", "?sslmode=disable"):  # what is done already is left as it is
        status, output = await migrate(directory, database.owner_url + parameters)
        assert (status, "newest revision" in output) == (0, True), output
    connection = await asyncpg.connect(database.runtime_url)
    try:
        assert await connection.fetch("SELECT id FROM orders.things") == []
    finally:
        await connection.close()


async def test_a_server_that_is_away_is_named(directory):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        port = taken.getsockname()[1]
        url = f"postgresql://orders_owner:secret@127.0.0.1:{port}/slipway"
        status, output = await migrate(directory, url)
    assert status == 1
    assert f"orders_owner@127.0.0.1:{port}/slipway did not answer within 1 s" in output
    assert "secret" not in output
    assert "Traceback" not in output


async def test_a_wrong_role_is_not_waited_for(postgres_url):
    database = await ServiceDatabase.create_empty(postgres_url, "orders")
    url = database.owner_url.replace("orders_owner", "nobody_owner")
    with pytest.raises(DatabaseUnusableError, match="answers, and refuses"):
        await wait_for_postgres(url, limit=60)


async def test_a_server_that_comes_is_waited_for(postgres_url):
    """Connections are refused until something listens; then they reach the real server."""
    host, port = "127.0.0.1", int(postgres_url.rpartition(":")[2].partition("/")[0])

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                target.write(data)
            target.close()

        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, 0))
        own = place.getsockname()[1]
        url = postgres_url.replace(f":{port}", f":{own}")
        waiting = asyncio.create_task(wait_for_postgres(url, limit=30))
        done, _ = await asyncio.wait([waiting], timeout=0.7)
        assert not done
        server = await asyncio.start_server(forward, sock=place)
        async with server:
            await waiting


async def test_a_directory_without_migrations_is_named(tmp_path):
    status, output = await migrate(tmp_path, "postgresql://nobody@127.0.0.1:1/slipway")
    assert (status, "holds no migrations/" in output) == (1, True)
