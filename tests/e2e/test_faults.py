"""Processes are killed and servers stopped under load: nothing is lost, nothing is doubled."""

import asyncio
import os
import random
import signal
from contextlib import suppress

import asyncpg
import httpx
import pytest

from client import ProblemError
from testkit.waiting import until

from .conftest import first_success

ORDERS = 60
READY = (
    "gateway",
    *("users", "orders", "notifications"),
    *("users-worker", "orders-worker", "notifications-worker"),
)


@pytest.fixture(autouse=True)
async def _ready(system):
    """Each test begins with a system that is ready: the one before may have killed a process."""

    async def ready():
        with suppress(httpx.TransportError):  # the process is being started
            return await readiness(system) == dict.fromkeys(READY, 200)
        return False

    await until(ready, seconds=60)


@pytest.mark.parametrize("victim", ["orders-worker", "notifications-worker", "notifications"])
async def test_a_process_killed_between_any_two_lines_loses_and_doubles_nothing(
    system, customer, product, victim
):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    placed = asyncio.create_task(place(customer, product, ORDERS))
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0.05, 0.4))
        await kill(system, victim)
    orders = await placed
    notified = await notifications(customer, expected=len(orders))
    assert sorted(entry.data["order_id"] for entry in notified) == sorted(
        str(order.id) for order in orders
    )
    assert sorted(entry.event_id for entry in notified) == list(range(1, len(orders) + 1))


async def place(customer, product, number):
    return [await customer.order(product.id) for _ in range(number)]


async def kill(system, name):
    """Send SIGKILL as soon as the process runs. The supervisor starts it again."""
    process = system.process(name)
    async with asyncio.timeout(30):
        while True:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                return
            await asyncio.sleep(0.05)


async def notifications(customer, *, expected):
    """Wait until the customer has this many notifications, then check again for a duplicate."""
    async with asyncio.timeout(60):
        while True:
            if len(await all_notifications(customer)) >= expected:
                break
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    return await all_notifications(customer)


async def all_notifications(customer):
    entries, cursor = [], None
    while True:
        try:
            page = await customer.client.list_notifications(
                customer.token, limit=100, cursor=cursor
            )
        except (ProblemError, httpx.HTTPError):  # the killed process may be the API
            return []
        entries += page.items
        cursor = page.next_cursor
        if cursor is None:
            return entries


async def test_an_unavailable_database_gives_503_and_is_used_again_when_it_is_back(
    system, postgres, customer, product
):
    before = await customer.order(product.id)
    await postgres.stop()
    try:
        async with httpx.AsyncClient(base_url=system.gateway_url, timeout=20) as http:
            answer = await http.get("/api/v1/products")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].endswith("/unavailable")
        assert await readiness(system) == dict.fromkeys(READY, 200)
    finally:
        await postgres.start()
    after = await first_success(lambda: customer.order(product.id), despite={503})
    notified = await notifications(customer, expected=2)
    assert {entry.data["order_id"] for entry in notified} == {str(before.id), str(after.id)}


async def readiness(system):
    async with httpx.AsyncClient(timeout=60) as http:
        return {
            name: (await http.get(system.process(name).spec.ready_url)).status_code
            for name in READY
        }


async def test_one_services_role_reads_no_other_services_tables(system):
    for service, other in (("orders", "users"), ("notifications", "orders"), ("users", "orders")):
        url = system.process(service).spec.environment["DATABASE_URL"]
        connection = await asyncpg.connect(url)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT * FROM {other}.outbox")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE TABLE mine (id int)")
        finally:
            await connection.close()
