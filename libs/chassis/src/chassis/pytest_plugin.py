"""The pytest plugin: one Postgres and one Kafka serve the whole run, for all worker processes.

With pytest-xdist the controller starts the servers before its workers and tells them the addresses
in the environment; without it they start when a test first asks.

Nothing of the project is imported at the top: pytest loads plugins before coverage begins, and what
is imported until then would count as never run.
"""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

if TYPE_CHECKING:
    from chassis.testing.databases import ServiceDatabase
    from chassis.testing.kafka import TestTopics
    from chassis.testing.tokens import TestTokens

_POSTGRES = "SLIPWAY_TEST_POSTGRES_URL"
_KAFKA = "SLIPWAY_TEST_KAFKA"
_SCANNED = ("chassis", "gateway", "users", "orders", "notifications")
_STACK = pytest.StashKey[ExitStack]()

# Local files of a few bytes: the client's certificate and .pgpass, looked for once a connection;
# the public keys, whose file is looked at every few seconds; the source files that a logged
# traceback names. A thread would cost more.
_SHORT_BLOCKS = (
    ("asyncpg/connect_utils.py", "_parse_connect_arguments"),
    ("chassis/auth/keys.py", "_reload"),
    ("structlog/tracebacks.py", "extract"),
    # Migrations are a command of their own; Alembic reads its scripts while it is connected.
    ("chassis/database/migrations.py", "_run"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers in the controller of a parallel run."""
    stack = config.stash[_STACK] = ExitStack()
    workers = getattr(config.option, "numprocesses", None)
    if workers and not hasattr(config, "workerinput") and not config.option.collectonly:
        _start(stack, "postgres", "kafka")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Set up the log."""
    from chassis.telemetry.logging import configure_test_logging

    configure_test_logging()


def _start(stack: ExitStack, *which: str) -> None:
    from chassis.testing.servers import running_servers

    servers = stack.enter_context(running_servers(which))
    if "postgres" in which:
        os.environ[_POSTGRES] = servers.postgres_url
    if "kafka" in which:
        os.environ[_KAFKA] = servers.kafka_bootstrap_servers


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started here."""
    stack = config.stash.get(_STACK, None)
    if stack is not None:
        stack.close()


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """The superuser's URL of the run's Postgres."""
    if _POSTGRES not in os.environ:
        _start(pytestconfig.stash[_STACK], "postgres")
    return os.environ[_POSTGRES]


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(pytestconfig: pytest.Config) -> str:
    """The address of the run's Kafka."""
    if _KAFKA not in os.environ:
        _start(pytestconfig.stash[_STACK], "kafka")
    return os.environ[_KAFKA]


@pytest.fixture(scope="session")
def service_directory() -> Path:
    """The folder of the service under test; each service's conftest gives its own."""
    message = "define the fixture service_directory in the service's conftest.py"
    raise pytest.UsageError(message)


@pytest.fixture(scope="session")
def service_databases() -> dict[Path, "ServiceDatabase"]:
    """The databases of this worker process: one run may test several services."""
    return {}


@pytest.fixture
async def service_database(
    postgres_url: str,
    service_directory: Path,
    service_databases: dict[Path, "ServiceDatabase"],
) -> "ServiceDatabase":
    """The migrated database of the service under test; made at first use."""
    from chassis.testing.databases import ServiceDatabase

    if service_directory not in service_databases:
        made = await ServiceDatabase.create(postgres_url, service_directory)
        service_databases[service_directory] = made
    return service_databases[service_directory]


@pytest.fixture
async def database(service_database: "ServiceDatabase") -> "ServiceDatabase":
    """The worker process's database, emptied."""
    await service_database.clean()
    return service_database


@pytest.fixture
def topics(kafka_bootstrap_servers: str) -> "TestTopics":
    """Topics of this test alone."""
    from chassis.testing.kafka import TestTopics

    return TestTopics(bootstrap_servers=kafka_bootstrap_servers)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> "TestTokens":
    """Access tokens of a key made for the run."""
    from chassis.testing.tokens import TestTokens

    return TestTokens(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail a test whose coroutine makes a blocking call (files, sockets, sleep)."""
    with blockbuster_ctx([name for name in _SCANNED if find_spec(name)]) as blocker:
        for function in blocker.functions.values():
            for file, names in _SHORT_BLOCKS:
                function.can_block_in(file, names)
        yield blocker


@pytest.fixture(autouse=True)
async def _no_lost_exceptions() -> AsyncIterator[None]:
    """Fail a test that leaves an exception nobody retrieved, or an error in a callback."""
    loop = asyncio.get_running_loop()
    lost: list[str] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: lost.append(_description(context)))
    yield
    gc.collect(0)
    loop.set_exception_handler(before)
    if lost:
        pytest.fail("exceptions that nobody handled: " + "; ".join(lost))


def _description(context: dict[str, object]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"
