"""The part of the system that takes orders: gateway, orders service, Postgres; no worker runs."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from uuid import UUID

import asyncpg

from bench.rig import Rig, User
from bench.statements import LOG_SETTINGS, Statement, transaction_with
from client import Address, Money, NewItem, NewOrder, NewProduct, SlipwayClient
from localservers import PostgresServer
from localservers.ports import free_port
from slipway.errors import SlipwayError
from slipway.local.migration import migration_spec
from slipway.local.program import Program
from slipway.local.startup import run_to_end
from slipway.operate.database import Database
from slipway.refusals import refusals_of
from slipway.services import role_names

_SUPERUSER = "postgres"
_STOCK = 1_000_000
_AT_ONCE = 8
_CONNECTIONS = 20  # as many as the service may have, and more; they take turns
_POLLS = 100
_POLL_SECONDS = 0.05
_SETTLED_SECONDS = 0.25
ADDRESS = Address(
    name="Ada Lovelace",
    line1="12 St James Square",
    city="London",
    postal_code="SW1Y 4JH",
    country="GB",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The running shop, with a catalogue and customers who have ordered before.

    Attributes:
        postgres: the server.
        database: its database.
        gateway: where orders go.
        orders: the process behind it.
        customers: who may order.
        products: ids; an order takes one from each half.
    """

    postgres: PostgresServer
    database: Database
    gateway: Program
    orders: Program
    customers: Sequence[User]
    products: Sequence[UUID]

    @property
    def halves(self) -> tuple[Sequence[UUID], Sequence[UUID]]:
        """Return the products in two halves, so that the two products of an order always differ."""
        middle = len(self.products) // 2
        return self.products[:middle], self.products[middle:]

    def client(self) -> SlipwayClient:
        """Return a client of the gateway."""
        return SlipwayClient(self.gateway.spec.address, trust_env=False)

    async def place(self, client: SlipwayClient, customer: User, key: str) -> None:
        """Place an order of the first product of each half."""
        one, two = (half[0] for half in self.halves)
        items = (NewItem(product_id=one, quantity=1), NewItem(product_id=two, quantity=2))
        order = NewOrder(items=items, shipping_address=ADDRESS)
        await client.place_order(customer.token, order, idempotency_key=key)

    async def count(self) -> int:
        """Return the number of orders, once running requests have ended."""
        connection = await self._connect()
        try:
            before = -1
            for _ in range(_POLLS):
                now = int(await connection.fetchval("SELECT count(*) FROM orders.orders"))
                if now == before:
                    return now
                before = now
                await asyncio.sleep(_SETTLED_SECONDS)  # no signal says when the last one has ended
        finally:
            await connection.close()
        message = (
            "The number of orders still grows, although the load has ended. Run the row again."
        )
        raise SlipwayError(message)

    async def capture(self, key: str) -> list[Statement]:
        """Place one order while the server logs statements; give those of its transaction.

        Earlier orders warm up its connection, which then needs no queries about types.
        """
        async with self.client() as client:
            for number in range(_CONNECTIONS):
                await self.place(client, self.customers[0], f"before-{number}")
            await self._log_statements("all")
            try:
                await self.place(client, self.customers[0], key)
            finally:
                await self._log_statements("none")
        for _ in range(_POLLS):
            lines = await asyncio.to_thread(self._logged)
            if any("COMMIT" in line for line in lines):
                return transaction_with(lines, "INSERT INTO orders ")
            await asyncio.sleep(_POLL_SECONDS)  # no signal says when the log collector has written
        message = f"The server logged no order. See its log in {self.postgres.data}/log."
        raise SlipwayError(message)

    def _logged(self) -> list[str]:
        files = sorted((self.postgres.data / "log").glob("*.json"))
        lines = [line for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if _is_whole(line)]

    async def _log_statements(self, which: str) -> None:
        connection = await self._connect()
        try:
            await connection.execute(f"ALTER SYSTEM SET log_statement = '{which}'")
            await connection.execute("SELECT pg_reload_conf()")
            for _ in range(_POLLS):
                if await connection.fetchval("SHOW log_statement") == which:
                    return
                await asyncio.sleep(
                    _POLL_SECONDS
                )  # no event says when the sessions have the new setting
        finally:
            await connection.close()
        message = f"log_statement = {which} did not take effect in time. See the server's log."
        raise SlipwayError(message)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.postgres.url(database=self.database.name))


def _is_whole(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:  # the log collector is writing the line
        return False
    return True


async def open_shop(
    rig: Rig, *, customers: int, products: int, gateway_settings: Mapping[str, str] | None = None
) -> Shop:
    """Start the shop, durable as in production, and create its data through the API.

    Args:
        rig: where it runs.
        customers: how many there are; each has ordered once.
        products: how many the catalogue has.
        gateway_settings: settings of the gateway besides the defaults.
    """
    postgres, database = await start_database(rig, LOG_SETTINGS)
    sink = await rig.run(rig.module("upstream", free_port()))
    await rig.serve(rig.valkey())
    shared = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.spec.address}
    orders = await rig.run(rig.process("orders", database, **shared))
    gateway = await rig.run(rig.process("gateway", database, **shared, **(gateway_settings or {})))
    with rig.reporter.step(f"{products} products, {customers} customers"):
        shop = Shop(
            postgres=postgres,
            database=database,
            gateway=gateway,
            orders=orders,
            customers=await rig.users(customers, "orders:write"),
            products=await fill_catalogue(rig, gateway.spec.address, products),
        )
        async with shop.client() as client:
            for number, group in enumerate(batched(shop.customers, _AT_ONCE)):
                keys = (f"first-{number}-{place}" for place in range(len(group)))
                pairs = zip(group, keys, strict=True)
                await asyncio.gather(*(shop.place(client, one, key) for one, key in pairs))
    return shop


async def start_database(rig: Rig, settings: Mapping[str, str]) -> tuple[PostgresServer, Database]:
    """Start a durable server with these settings, which may need a restart; migrate all schemas."""
    passwords = rig.state.passwords((_SUPERUSER, *role_names()))
    postgres = PostgresServer(
        directory=rig.state.servers / "postgres",
        port=rig.settings.postgres_port,
        password=passwords[_SUPERUSER],
    )
    await rig.serve(postgres)
    connection = await asyncpg.connect(postgres.url())
    try:
        for name, value in settings.items():
            await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    finally:
        await connection.close()
    await postgres.stop()
    await postgres.start()
    database = Database(superuser_url=postgres.url(), name="slipway", passwords=passwords)
    await database.prepare()
    with rig.reporter.step("migrations"):
        spec = rig.build.running(migration_spec(rig.root, database))
        await run_to_end(Program(spec, state=rig.state, say=rig.reporter.say))
    return postgres, database


type OrdersPlace = tuple[PostgresServer, Database, Program]
"""An orders process, and where its data is."""


async def start_orders(rig: Rig) -> OrdersPlace:
    """Start the orders process alone, on a durable server, with a sink for its traces."""
    postgres, database = await start_database(rig, {})
    sink = await rig.run(rig.module("upstream", free_port()))
    process = await rig.run(
        rig.process("orders", database, OTEL_EXPORTER_OTLP_ENDPOINT=sink.spec.address)
    )
    return postgres, database, process


async def fill_catalogue(rig: Rig, gateway_url: str, count: int) -> list[UUID]:
    """Create a catalogue; return the ids, or raise SlipwayError if a product is rejected."""
    (admin,) = await rig.users(1, "catalog:write")

    async def add(number: int) -> UUID:
        product = NewProduct(
            sku=f"BENCH-{number:05}",
            name=f"Manila rope no. {number}",
            description="Three strands, 14 mm, for mooring.",
            price=Money(amount=3490, currency="EUR"),
            stock=_STOCK,
        )
        return (await client.create_product(admin.token, product)).id

    with refusals_of(f"The catalogue can't be created through {gateway_url}"):
        async with SlipwayClient(gateway_url, trust_env=False) as client:
            ids: list[UUID] = []
            for numbers in batched(range(count), _AT_ONCE):
                ids += await asyncio.gather(*(add(number) for number in numbers))
    if len(set(ids)) != count:
        message = f"{len(set(ids))} products were created, not {count}. See the log of orders."
        raise SlipwayError(message)
    return ids
