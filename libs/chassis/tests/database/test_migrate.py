"""A service's image migrates its schema by itself, or says in one sentence why it can't."""

import asyncio
import socket
import sys
from pathlib import Path

import asyncpg
import pytest

from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from testkit.databases import ServiceDatabase

from .packages import WrittenService, written

__all__ = ["written"]


@pytest.fixture
def service(written: WrittenService) -> WrittenService:
    written.revision("0001", 'op.execute("CREATE TABLE things (id integer PRIMARY KEY)")')
    return written


async def migrate(directory: Path, url: str, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "chassis.run",
        directory.name,
        "migrate",
        cwd=directory,
        env={
            "DATABASE_OWNER_URL": url,
            "STARTUP_WAIT": "1",
            "PYTHONPATH": str(directory / "src"),
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_the_schema_is_brought_to_its_newest_revision(service, postgres_url):
    database = await ServiceDatabase.create_empty(postgres_url, service.name)
    for parameters in ("", "?sslmode=disable"):  # a second run changes nothing
        status, output = await migrate(service.directory, database.owner_url + parameters)
        assert (status, "newest revision" in output) == (0, True), output
    connection = await asyncpg.connect(database.runtime_url)
    try:
        assert await connection.fetch("SELECT id FROM things") == []
    finally:
        await connection.close()


async def test_a_schema_at_its_newest_revision_costs_neither_alembic_nor_the_models(
    service, postgres_url
):
    """The pods of a release wait for the migrations of all services, which mostly do nothing."""
    database = await ServiceDatabase.create_empty(postgres_url, service.name)
    for migrated in (True, False):
        status, output = await migrate(
            service.directory, database.owner_url, PYTHONPROFILEIMPORTTIME="1"
        )
        assert status == 0, output
        modules = {line.rpartition("|")[2].strip() for line in output.splitlines()}
        assert "asyncpg" in modules
        assert {"alembic", "sqlalchemy"} & modules == (
            {"alembic", "sqlalchemy"} if migrated else set()
        )
        assert "fastapi" not in modules  # which only an API needs


async def test_a_folder_that_is_not_named_as_a_package_is_named(service, postgres_url):
    """The name of the folder is the only thing that says whose schema it is."""
    database = await ServiceDatabase.create_empty(postgres_url, service.name)
    renamed = await asyncio.to_thread(service.directory.rename, service.directory.parent / "nobody")
    status, output = await migrate(renamed, database.owner_url)
    assert (status, "the service nobody declares no tables" in output) == (1, True), output
    assert "Traceback" not in output


async def test_an_unavailable_server_is_named(service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        port = taken.getsockname()[1]
        url = f"postgresql://orders_owner:secret@127.0.0.1:{port}/slipway"
        status, output = await migrate(service.directory, url)
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
