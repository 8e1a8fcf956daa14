import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from localservers import PostgresServer, ServerError
from localservers.ports import free_port
from localservers.postgres import way_from_root

START_FOREVER = """
import asyncio, sys
from pathlib import Path
from localservers import PostgresServer
server = PostgresServer(directory=Path(sys.argv[1]), port=int(sys.argv[2]), password="x")
asyncio.run(server.start())
"""
PASSWORD = "with space, 'quote', @:/?#% and ü"


@pytest.fixture(scope="module")
async def postgres(tmp_path_factory):
    # Too long for a Unix socket's path.
    directory = tmp_path_factory.mktemp("postgres") / ("long" * 30)
    server = PostgresServer(directory=directory, port=free_port(), password=PASSWORD, fast=True)
    await server.start()
    yield server
    await server.stop()


async def ask(url: str, query: str):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_responds_and_has_its_settings(postgres):
    assert "PostgreSQL 18" in await ask(postgres.url(), "SELECT version()")
    assert await ask(postgres.url(), "SHOW fsync") == "off"
    assert await ask(postgres.url(), "SHOW max_connections") == "200"
    assert await ask(postgres.url(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


async def test_it_asks_for_the_password(postgres):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url(password="wrong"))


async def test_an_address_names_role_password_and_database(postgres):
    await ask(postgres.url(), "CREATE ROLE somebody LOGIN PASSWORD 'p@ss'")
    await ask(postgres.url(), "CREATE DATABASE other")
    url = postgres.url(user="somebody", password="p@ss", database="other")
    assert await ask(url, "SELECT current_user || '@' || current_database()") == "somebody@other"


async def test_it_listens_on_this_machine_only(postgres):
    connections = await asyncio.to_thread(psutil.Process(postgres.pid).net_connections, "all")
    listening = {one.laddr for one in connections if one.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", postgres.port)}


async def test_nothing_of_it_is_left_after_a_stop_and_its_data_survives(tmp_path):
    server = PostgresServer(directory=tmp_path, port=free_port(), password=PASSWORD)
    await server.start()
    one = psutil.Process(server.pid)
    processes = [one, *one.children(recursive=True)]
    client = await asyncpg.connect(server.url())
    await client.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert await client.fetchval("SHOW fsync") == "on"
    await server.stop()  # although a client is connected
    client.terminate()
    assert not [process for process in processes if process.is_running()]
    await server.start()
    assert await ask(server.url(), "SELECT number FROM kept") == 7
    await server.stop()


async def test_one_left_over_with_a_client_on_it_is_ended_in_order_by_the_next_start(
    tmp_path, orphan, ended
):
    port = free_port()
    pid = await orphan("PostgresServer", directory=tmp_path, port=port, more=", password='p'")
    server = PostgresServer(directory=tmp_path, port=port, password="p")
    client = await asyncpg.connect(server.url())
    before = time.monotonic()
    await server.start()
    assert time.monotonic() - before < 10  # SIGTERM would wait for the client
    assert server.pid != pid
    assert ended(pid)
    client.terminate()
    log = server.log_file.read_text()
    assert "received fast shutdown request" in log
    assert "automatic recovery" not in log
    await server.stop()


async def test_an_incomplete_data_directory_is_made_again(tmp_path):
    half = tmp_path / "data.partial"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = PostgresServer(directory=tmp_path, port=free_port(), password=PASSWORD, fast=True)
    await server.start()
    assert await ask(server.url(), "SELECT 1") == 1
    await server.stop()
    assert not half.exists()


async def test_a_start_killed_while_it_makes_the_data_does_not_disturb_the_next(tmp_path):
    """The initdb of the killed start may run for another second."""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START_FOREVER, str(tmp_path), str(free_port())),
        stdout=asyncio.subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("data.partial*")):  # noqa: ASYNC110 - nobody tells us of a folder
        await asyncio.sleep(0.005)
    parent.kill()
    await parent.wait()
    server = PostgresServer(directory=tmp_path, port=free_port(), password=PASSWORD, fast=True)
    await server.start()
    assert await ask(server.url(), "SELECT 1") == 1
    await server.stop()


async def test_a_killed_server_whose_id_is_in_use_again_starts(tmp_path):
    server = PostgresServer(directory=tmp_path, port=free_port(), password=PASSWORD, fast=True)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    somebody = await asyncio.create_subprocess_exec("sleep", "60")
    lock = server.data / "postmaster.pid"
    first, rest = lock.read_text().split("\n", 1)
    assert first
    lock.write_text(f"{somebody.pid}\n{rest}")
    await server.start()
    assert await ask(server.url(), "SELECT 1") == 1
    assert somebody.returncode is None
    somebody.kill()
    await somebody.wait()
    await server.stop()


async def test_data_made_with_another_password_is_named_in_the_error(postgres):
    directory, port = postgres.directory, postgres.port
    await postgres.stop()
    other = PostgresServer(directory=directory, port=port, password="another", fast=True)
    with pytest.raises(ServerError, match="another password") as caught:
        await other.start()
    assert str(directory / "data") in str(caught.value)
    assert other.pid is None
    await postgres.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
class TestAsRoot:
    async def test_without_user_namespaces_it_runs_as_nobody(self, tmp_path, monkeypatch):
        refuse(tmp_path, "unshare")
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o700)  # like /root
        server = PostgresServer(directory=locked, port=free_port(), password="p", fast=True)
        await server.start()
        assert psutil.Process(server.pid).uids().effective not in {0, os.geteuid()}
        assert await ask(server.url(), "SELECT 1") == 1
        await server.stop()

    def test_as_nobody_it_finds_programs_in_roots_own_directory(self, tmp_path, monkeypatch):
        refuse(tmp_path, "unshare")
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o700)
        refuse(locked, "initdb")
        code = f"import os; print(os.access({str(locked / 'initdb')!r}, os.X_OK))"
        done = subprocess.run(
            [*way_from_root(), sys.executable, "-c", code], check=True, capture_output=True
        )
        assert done.stdout == b"True\n"

    def test_without_any_way_the_error_says_what_to_do(self, tmp_path, monkeypatch):
        for name in ("unshare", "setpriv"):
            refuse(tmp_path, name)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ServerError, match="Run this as another user"):
            way_from_root()

    def test_without_the_programs_the_error_says_what_to_do(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ServerError, match="Run this as another user"):
            way_from_root()


def refuse(directory: Path, name: str) -> None:
    program = directory / name
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
