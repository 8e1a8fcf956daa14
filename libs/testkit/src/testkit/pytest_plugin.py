"""The pytest plugin: one PostgreSQL and one Kafka serve the whole run, for all worker processes.

With pytest-xdist the controller starts the servers before its workers, and passes the addresses to
them in the environment. Without it, the servers start when a test first needs them.

This module imports nothing of the project at the top: pytest loads plugins before coverage begins,
and code that is imported before then would be reported as never run.
"""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from chassis.messaging.consuming.batch import BatchRunner
    from chassis.service import Service
    from chassis.wiring import ServiceResources, ServiceSettings
    from testkit.databases import ServiceDatabase
    from testkit.kafka import TestTopics
    from testkit.tokens import TestTokens

_POSTGRES = "SLIPWAY_TEST_POSTGRES_URL"
_KAFKA = "SLIPWAY_TEST_KAFKA"
_STACK = pytest.StashKey[ExitStack]()

# Seconds that a test waits for PostgreSQL, so that a machine which stands still for some seconds
# fails none. A test of a limit sets its own.
_PATIENCE = {
    "DATABASE_CONNECT_TIMEOUT": "60",
    "DATABASE_POOL_TIMEOUT": "60",
    "DATABASE_STATEMENT_TIMEOUT": "60",
}

# These read small local files: certificates, .pgpass and secrets, once per connection; the public
# keys, checked every few seconds; the source files that a logged traceback names. A thread would
# cost more.
_SHORT_BLOCKS = (
    ("asyncpg/connect_utils.py", "_parse_connect_arguments"),
    ("chassis/settings.py", "_text_of"),
    ("chassis/kafka_security.py", "_context"),
    ("chassis/auth/keys.py", "_reload"),
    ("structlog/tracebacks.py", "extract"),
    # Migrations are a separate command. Alembic reads its scripts while it is connected.
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
    """Configure logging, and exempt this machine's addresses from proxies for tests' clients.

    The tests' PostgreSQL offers no TLS. asyncpg would ask for it with each connection, and leaves
    an exception that nobody retrieves if it is cancelled before the response.
    """
    from chassis.loopback import loopback_exempted
    from chassis.telemetry.logging import configure_test_logging

    configure_test_logging()
    os.environ.update(loopback_exempted(os.environ))
    for name, value in {"PGSSLMODE": "disable", **_PATIENCE}.items():
        os.environ.setdefault(name, value)
    _ignore_the_speed_of_properties()


def _ignore_the_speed_of_properties() -> None:
    """Change Hypothesis' default settings: a property would fail on a machine that is under load.

    Other settings stay, such as those of its profile for a CI. A test binds them when it is
    imported, so this must come before the collection.
    """
    from hypothesis import HealthCheck, settings

    parent = settings()
    ignored = {*parent.suppress_health_check, HealthCheck.too_slow}
    settings.register_profile(
        "any speed", parent, deadline=None, suppress_health_check=tuple(ignored)
    )
    settings.load_profile("any speed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the slow tests run first: one that ran last would leave the other processes idle.

    Tests of one group share servers, and keep their order.
    """

    def runs_later(item: pytest.Item) -> bool:
        is_slow, group = map(item.get_closest_marker, ("slow", "xdist_group"))
        return is_slow is None or group is not None

    items.sort(key=runs_later)


def _start(stack: ExitStack, *which: str) -> None:
    from testkit.servers import running_servers

    servers = stack.enter_context(running_servers(which))
    if "postgres" in which:
        os.environ[_POSTGRES] = servers.postgres_url
    if "kafka" in which:
        os.environ[_KAFKA] = servers.kafka_bootstrap_servers


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers that this process started."""
    stack = config.stash.get(_STACK, None)
    if stack is not None:
        stack.close()


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """The superuser's URL of the run's PostgreSQL."""
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
def declaration() -> "Service[Any]":
    """The declaration of the service under test; each service's conftest defines its own."""
    message = (
        "The fixture `declaration` is missing. Define it in the service's conftest.py: it "
        "returns the service's SERVICE."
    )
    raise pytest.UsageError(message)


@pytest.fixture
def service_directory(declaration: "Service[Any]") -> Path:
    """The folder of the service under test, with its pyproject.toml and its migrations.

    It must not have session scope: pytest would use the first service's folder for all others.
    """
    found = find_spec(declaration.name)
    assert found is not None  # noqa: S101 - a test's own
    assert found.origin is not None  # noqa: S101 - likewise
    return Path(found.origin).parents[2]


@pytest.fixture(scope="session")
def service_databases() -> dict[Path, "ServiceDatabase"]:
    """The databases of this worker process: one run may test several services."""
    # The first import reads files, so it can't be that of the async fixture below.
    import testkit.databases  # noqa: F401 - see above

    return {}


@pytest.fixture
async def service_database(
    postgres_url: str,
    service_directory: Path,
    service_databases: dict[Path, "ServiceDatabase"],
) -> "ServiceDatabase":
    """The migrated database of the service under test; created at first use."""
    from testkit.databases import ServiceDatabase

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
    """Topics that only this test uses."""
    from testkit.kafka import TestTopics

    return TestTopics(bootstrap_servers=kafka_bootstrap_servers)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> "TestTokens":
    """Access tokens, signed with a key made for the run."""
    from testkit.tokens import TestTokens

    return TestTokens(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Settings that the service under test needs in addition to those of every service."""
    return {}


@pytest.fixture
def settings(
    declaration: "Service[Any]",
    database: "ServiceDatabase",
    tokens: "TestTokens",
    more_settings: dict[str, Any],
) -> "ServiceSettings":
    """The settings of the service's API process, which also works without Kafka."""
    from testkit.services import settings_for

    return settings_for(declaration, database=database, tokens=tokens, more=more_settings)


@pytest.fixture
async def client(
    declaration: "Service[Any]", settings: "ServiceSettings"
) -> "AsyncIterator[httpx.AsyncClient]":
    """A client for the service's app. It fails the test that gets an undocumented response."""
    from chassis.api import create_api
    from testkit.clients import client_of
    from testkit.documented_responses import documented_by

    app = create_api(declaration, settings)
    async with client_of(app) as client:
        client.event_hooks = {"response": [documented_by(app, declaration.name)]}
        yield client


@pytest.fixture
async def api_resources(
    declaration: "Service[Any]", settings: "ServiceSettings"
) -> "AsyncIterator[ServiceResources]":
    """The resources of the API process without the app, for tests of use cases."""
    from testkit.services import held

    async with held(declaration.open_api, settings, name=declaration.name) as resources:
        yield resources


@pytest.fixture
async def worker_resources(
    declaration: "Service[Any]", settings: "ServiceSettings"
) -> "AsyncIterator[ServiceResources]":
    """The resources of the worker."""
    from testkit.services import held

    async with held(declaration.open_worker, settings, name=f"{declaration.name}-worker") as one:
        yield one


@pytest.fixture
def batches(
    declaration: "Service[Any]", worker_resources: "ServiceResources"
) -> "BatchRunner[Any]":
    """Runs batches of messages as the worker does, without Kafka."""
    from testkit.services import batch_runner

    return batch_runner(declaration, worker_resources)


@pytest.fixture
async def db(database: "ServiceDatabase") -> "AsyncIterator[asyncpg.Connection]":
    """A connection to the service's schema as its runtime role, independent of the app."""
    async with database.connected() as connection:
        yield connection


@pytest.fixture
async def owner(database: "ServiceDatabase") -> "AsyncIterator[asyncpg.Connection]":
    """A connection to the service's schema as its owner role, which migrates it."""
    async with database.connected(as_owner=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def _serving_packages() -> Sequence[str]:
    """The packages whose coroutines serve; to find them takes milliseconds."""
    from chassis.installed import service_names

    return ["chassis", *filter(find_spec, ("gateway", *service_names()))]


@pytest.fixture(autouse=True)
def _no_blocking_calls(_serving_packages: Sequence[str]) -> Iterator[BlockBuster]:
    """Fail a test if a coroutine of what serves makes a blocking call (files, sockets, sleep)."""
    with blockbuster_ctx(list(_serving_packages)) as blocker:
        for function in blocker.functions.values():
            for file, names in _SHORT_BLOCKS:
                function.can_block_in(file, names)
        yield blocker


@pytest.fixture(autouse=True)
async def _no_lost_exceptions() -> AsyncIterator[None]:
    """Fail a test that leaves an exception that was never retrieved, or an error in a callback."""
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
    where = context.get("exception") or context.get("task") or context.get("future")
    return f"{context.get('message')}: {where!r}"
