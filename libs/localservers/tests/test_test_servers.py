"""The two sources of servers for tests. Containers need Docker, and are tested in CI."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from testkit.servers import running_servers

RUN = """
import signal
from testkit.servers import running_servers

# A run in the background of a shell inherits a SIGINT that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with running_servers({"postgres"}) as servers:
    print(servers.postgres_url, flush=True)
    signal.pause()
"""


def test_a_source_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("TEST_SERVERS", "clouds")
    refused = pytest.raises(ValueError, match="TEST_SERVERS=clouds is not valid")
    with refused, running_servers({"postgres"}):
        pass


@contextmanager
def run(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a separate run; within the block, the test decides when it ends."""
    environment = {**os.environ, "TMPDIR": str(temporary), "TEST_SERVERS": "local"}
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def postgres_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://postgres:")
    children = psutil.Process(process.pid).children()
    return next(child.pid for child in children if child.name() == "postgres")


def test_servers_of_a_killed_run_are_ended_by_the_next_one_and_those_of_a_living_one_are_not(
    tmp_path, ended
):
    with run(tmp_path) as killed, run(tmp_path) as living:
        left, kept = postgres_of(killed), postgres_of(living)
        killed.kill()
        killed.wait()
        with run(tmp_path) as later:
            last = postgres_of(later)
            assert ended(left)
            assert not ended(kept)
    assert ended(kept)
    assert ended(last)
    assert not list(tmp_path.glob("slipway-tests-*"))


async def test_the_fixture_yields_a_postgres_that_responds(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
