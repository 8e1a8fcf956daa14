"""One whole system for all end-to-end tests: real processes; tests may stop its PostgreSQL.

With E2E_URL, the address of the gateway of a deployed system, they test that one; E2E_TRACES_URL is
its trace sink. Tests that need its processes, servers or files are then skipped.
"""

import asyncio
import os
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from client import Address, NewItem, NewOrder, Order, ProblemError, SlipwayClient
from localservers import PostgresServer
from localservers.ports import free_port
from slipway.local.system import System, running_system

PASSWORD = "correct horse battery"
ADDRESS = Address(
    name="Ada Lovelace",
    line1="12 St James Square",
    city="London",
    postal_code="SW1Y 4JH",
    country="GB",
)
DEPLOYED, DEPLOYED_TRACES = os.environ.get("E2E_URL"), os.environ.get("E2E_TRACES_URL")


@pytest.hookimpl(tryfirst=True)  # must run before xdist reads the groups
def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory):
    directory = tmp_path_factory.mktemp("postgres")
    server = PostgresServer(
        directory=directory, port=free_port(), password="superuser-of-these-tests", fast=True
    )
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="session")
def page_origin():
    """The origin of a page that may use the API, beside the API's own."""
    return f"http://127.0.0.1:{free_port()}"


class DeployedSystem:
    """A system that runs elsewhere. What only a system of this machine has skips the test."""

    def __init__(self) -> None:
        self.gateway_url = DEPLOYED
        if DEPLOYED_TRACES:
            self.traces_url = DEPLOYED_TRACES

    def __getattr__(self, name):
        pytest.skip(f"a deployed system has no {name} here")


async def _deployed_system():
    return DeployedSystem()


async def _started_system(tmp_path_factory, postgres, kafka_bootstrap_servers, page_origin):
    """Start the system, in an environment that names an unreachable proxy."""
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            # A new key signs after this wait. Processes check their key files every 5 s.
            environment.setenv("AUTH_SIGNING_KEY_WAIT", "6")
            environment.setenv("CORS_ALLOW_ORIGINS", page_origin)
            environment.setenv("CORS_ALLOW_CREDENTIALS", "true")
            environment.setenv("BROWSER_ORIGINS", page_origin)
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                environment.setenv(name, "http://127.0.0.1:9")
                environment.setenv(name.lower(), "http://127.0.0.1:9")
            for name in ("NO_PROXY", "no_proxy"):
                environment.delenv(name, raising=False)
            starting = running_system(
                tmp_path_factory.mktemp("system"),
                postgres_url=postgres.url(),
                kafka_bootstrap_servers=kafka_bootstrap_servers,
            )
            running = await stack.enter_async_context(starting)
        yield running


system = pytest.fixture(scope="session")(_deployed_system if DEPLOYED else _started_system)


@pytest.fixture
async def client(system: System):
    async with SlipwayClient(system.gateway_url) as opened:
        yield opened


@dataclass(frozen=True)
class Customer:
    token: str
    client: SlipwayClient

    async def order(self, product_id, quantity=1, *, key=None, headers=None) -> Order:
        return await self.client.place_order(
            self.token,
            NewOrder(
                items=[NewItem(product_id=product_id, quantity=quantity)],
                shipping_address=ADDRESS,
            ),
            idempotency_key=key or uuid.uuid4().hex,
            headers=headers,
        )


@pytest.fixture
async def customer(client) -> Customer:
    email = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    tokens = await client.login(email=email, password=PASSWORD)
    return Customer(token=tokens.access_token, client=client)


@pytest.fixture
async def product(client):
    page = await client.list_products(limit=1)
    return page.items[0]


async def first_success(call, *, despite, seconds=30):
    """Repeat a call for as long as its response has a status of `despite`."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await call()
            except ProblemError as refused:
                if refused.status not in despite:
                    raise
                await asyncio.sleep(0.2)  # no event says when a process serves again
