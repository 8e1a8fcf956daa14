"""A schema is restored and reconciled as docs/runbooks/events.md says; the services agree again.

It starts a whole system twice, so it is not part of `make test`: run `make restore-check`.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from chassis.verification.judging import Difference, Finding
from client import Address, NewItem, NewOrder, Order, SlipwayClient
from contracts import TOPICS, Topic
from contracts.orders import ORDERS
from slipway.console import Reporter
from slipway.local.facts import local_source
from slipway.local.ports import with_free_ports
from slipway.local.servers import Servers
from slipway.local.system import Plan, System, run_system
from slipway.operate.seed import DEMO_PASSWORD
from slipway.operate.verify import verify
from slipway.services import SERVICES
from slipway.settings import SlipwaySettings
from slipway.state import find_root
from testkit.operating import operate
from testkit.waiting import until

from .test_backup import run

PASSWORD = "correct horse battery"
ADDRESS = Address(
    name="Ada Lovelace", line1="12 St James Square", city="London", postal_code="SW1Y 4JH",
    country="GB",
)  # fmt: skip
SECONDS = 120.0
NEWER = re.compile(r"is of version (\d+), and the row of \d+")
PUBLISHED = "SELECT NOT EXISTS (SELECT FROM outbox)"
KNOWS = "SELECT EXISTS (SELECT FROM customers WHERE id = $1)"
TABLES = {"orders/order": "orders", "orders/product": "products"}


@dataclass(frozen=True, kw_only=True)
class Customer:
    """An account; tokens end with the system that is stopped, so each call logs in."""

    id: UUID
    email: str


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A running system, and what customers do with it."""

    system: System

    async def new_customer(self) -> Customer:
        email = f"{uuid4().hex}@example.com"
        async with SlipwayClient(self.system.gateway_url) as client:
            user = await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
        return Customer(id=user.id, email=email)

    @asynccontextmanager
    async def logged_in(self, customer: Customer) -> AsyncIterator[tuple[SlipwayClient, str]]:
        async with SlipwayClient(self.system.gateway_url) as client:
            session = await client.login(email=customer.email, password=PASSWORD)
            yield client, session.access_token

    async def order(self, customer: Customer) -> Order:
        """Place an order of the first product, and wait until its customer is notified."""
        async with self.logged_in(customer) as (client, token):
            product = (await client.list_products(limit=1)).items[0]
            order = NewOrder(
                items=[NewItem(product_id=product.id, quantity=1)], shipping_address=ADDRESS
            )
            placed = await client.place_order(token, order, idempotency_key=uuid4().hex)

            async def notified() -> bool:
                items = (await client.list_notifications(token, limit=50)).items
                return str(placed.id) in {str(item.data.get("order_id")) for item in items}

            await until(notified, seconds=SECONDS)
        return placed

    async def cancel(self, customer: Customer, order: Order) -> None:
        async with self.logged_in(customer) as (client, token):
            await client.cancel_order(token, order.id)


def environments_of(system: System) -> Mapping[str, Mapping[str, str]]:
    """Return the settings of the workers, by service."""
    return {one: system.process(f"{one}-worker").spec.environment for one in SERVICES}


async def differences(
    environments: Mapping[str, Mapping[str, str]], *services: str
) -> list[Finding]:
    """Return what `slipway verify` finds in these services; in all when left out."""
    sources = [local_source(one, environments[one], rate=1_000_000) for one in services or SERVICES]
    return list((await asyncio.to_thread(verify, sources)).findings)


@asynccontextmanager
async def servers_alone(plan: Plan) -> AsyncIterator[None]:
    """Run PostgreSQL and Kafka of a system, and none of its processes."""
    servers = Servers(
        settings=plan.settings,
        state=plan.state,
        superuser_password=plan.state.passwords(("postgres",))["postgres"],
        local_postgres=True,
    )
    local = [one for one in servers.all() if one.name in {"postgres", "kafka"}]
    for server in local:
        await server.start()
    try:
        yield
    finally:
        for server in local:
            await server.stop()


def partitions_of(*topics: Topic) -> list[TopicPartition]:
    return [TopicPartition(one.name, number) for one in topics for number in range(one.partitions)]


async def set_group_back(brokers: str, group: str, moment: datetime) -> None:
    """Do what `kafka-consumer-groups.sh --reset-offsets --to-datetime` does."""
    async with AIOKafkaConsumer(
        bootstrap_servers=brokers, group_id=group, enable_auto_commit=False
    ) as consumer:
        partitions = partitions_of(*TOPICS)
        consumer.assign(partitions)
        committed = [one for one in partitions if await consumer.committed(one) is not None]
        at = round(moment.timestamp() * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(committed, at))
        ends = await consumer.end_offsets(committed)
        await consumer.commit(
            {one: ends[one] if (at := found[one]) is None else at.offset for one in committed}
        )


async def forget(brokers: str, topic: Topic) -> None:
    """Delete all events of a topic, as its retention does in the end."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        whole = RecordsToDelete(before_offset=-1)
        await admin.delete_records(dict.fromkeys(partitions_of(topic), whole))
    finally:
        await admin.close()


async def raise_versions(url: str, found: list[Finding]) -> None:
    """Raise restored rows to the version that the topic announced."""
    connection = await asyncpg.connect(url)
    try:
        for one in found:
            newer = NEWER.search(one.text)
            if newer is not None:
                table = TABLES[one.group]
                query = f"UPDATE orders.{table} SET version = $1 WHERE id = $2"
                assert (
                    await connection.execute(query, int(newer[1]), UUID(one.member)) == "UPDATE 1"
                )
    finally:
        await connection.close()


async def replay(system: System, service: str) -> None:
    """Run `slipway replay`."""
    status, out, errors = await operate(
        system.state.path, "replay", service, password=DEMO_PASSWORD
    )
    assert status == 0, out + errors


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    settings = SlipwaySettings(slipway_state_dir=tmp_path / "system", slipway_limits="off")
    return Plan(settings=with_free_ports(settings), root=find_root(Path.cwd()), env_file=os.devnull)


def superuser_url(plan: Plan) -> str:
    """Return the address of the system's database as superuser."""
    password = plan.state.passwords(("postgres",))["postgres"]
    return f"postgresql://postgres:{password}@127.0.0.1:{plan.settings.postgres_port}/slipway"


def kinds_of(found: list[Finding]) -> set[tuple[str, Difference]]:
    return {(one.member, one.difference) for one in found}


async def holds(environments: Mapping[str, Mapping[str, str]], query: str, *values: object) -> bool:
    """Return whether a query of the schema of orders returns true."""
    connection = await asyncpg.connect(environments["orders"]["DATABASE_URL"])
    try:
        return bool(await connection.fetchval(query, *values))
    finally:
        await connection.close()


async def test_a_restored_schema_is_reconciled_by_the_runbook(plan: Plan, tmp_path: Path) -> None:
    """Orders is restored alone. Changed, lost and new things are in its topic already."""
    quiet, backups = Reporter.silent(), tmp_path / "backups"
    async with run_system(plan, reporter=quiet) as system:
        shop, environments, url = Shop(system=system), environments_of(system), superuser_url(plan)
        ada = await shop.new_customer()
        changed = await shop.order(ada)
        moment = datetime.now(UTC)
        await run("backup.sh", url, backups)
        bob = await shop.new_customer()
        lost = [await shop.order(ada), await shop.order(bob)]
        await shop.cancel(ada, changed)
        await until(lambda: holds(environments, PUBLISHED), seconds=SECONDS)
        product = str(changed.items[0].product_id)
    of_lost_time = {(str(one.id), Difference.EVENT_WITHOUT_CHANGE) for one in lost}
    of_lost_time.add((product, Difference.UNEXPLAINED))

    async with servers_alone(plan):
        await run("restore.sh", url, backups, "orders")
        found = await differences(environments, "orders")
        behind = {(one, Difference.EVENT_WITHOUT_CHANGE) for one in (str(changed.id), product)}
        assert kinds_of(found) == of_lost_time | behind
        await set_group_back(plan.settings.brokers, "orders", moment)
        await raise_versions(url, found)

    async with run_system(plan, reporter=quiet) as system:
        await replay(system, "orders")
        await until(lambda: holds(environments, KNOWS, bob.id), seconds=SECONDS)
        at_another_level = {(product, Difference.OTHER_LEVEL)}
        found = await differences(environments, "orders")
        assert kinds_of(found) == of_lost_time | at_another_level
        shop = Shop(system=system)
        await shop.order(ada)  # the next change of the product
        await shop.order(bob)
        assert kinds_of(await differences(environments)) == of_lost_time
        await forget(plan.settings.brokers, ORDERS)
        await replay(system, "orders")
        assert await differences(environments) == []
