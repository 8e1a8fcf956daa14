"""Orders placed through the gateway, beside pgbench with the statements that one order makes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import count

import asyncpg

from bench.load import Load, Requests, Wrk, cpu_side
from bench.machine import python_versions, valkey_version
from bench.pgbench import Pgbench
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Sample, Side, ratio, take_turns
from bench.script import Choice, Drawn, Script, script_of
from bench.shop import Shop, open_shop
from bench.statements import Statement
from bench.tools import find, version_of
from slipway.errors import SlipwayError

TOOLS = ("wrk",)
OURS = "through the gateway"
PGBENCH = "pgbench"
_WHAT = "place an order through the gateway"
_BAR = 0.30
_CLIENTS = 16
_CUSTOMERS = 100
_PRODUCTS = 1000
_CAPTURED_KEY = "100000000000000000"
_SHOWN = 110
_METHOD = f"""\
`wrk` places orders of two products, drawn at random from {_PRODUCTS}, by {_CUSTOMERS} customers, on
{_CLIENTS} connections, each with an `Idempotency-Key` of its own. The gateway and the orders
service run as one process each, with limits and a tenth of all traces on; no worker runs, so the
outbox fills. `pgbench` runs {_CLIENTS} clients on the same PostgreSQL, durable (`fsync`,
`synchronous_commit` on), as the same role, in prepared mode: the statements of one order, captured
from the server's log with their parameters. Products, customer, key and new ids are drawn anew in
each transaction, the rest stays as captured. No program is kept on a core. After each round the
orders in the table are counted against what either side says that it did."""


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    shop = await open_shop(rig, customers=_CUSTOMERS, products=_PRODUCTS)
    finding = await compare(rig, shop, Wrk(find("wrk"), rig.state.path), pace)
    return replace(finding, versions=(*finding.versions, ("wrk", await version_of("wrk"))))


async def compare(
    rig: Rig, shop: Shop, load: Load, pace: Pace, *, clients: int = _CLIENTS
) -> Finding:
    """Capture an order, then measure the shop and pgbench in turns."""
    transaction = await shop.capture(_CAPTURED_KEY)
    pgbench = await _pgbench(rig, shop, script_of(transaction, _drawn(shop)))
    sides = {
        OURS: counted(shop, await _orders_side(rig, shop, load, clients), clients),
        PGBENCH: counted(shop, partial(pgbench.run, clients=clients), clients),
    }
    samples = await take_turns(sides, pace, rig.reporter.say)
    packages = ("uvicorn", "fastapi", "pydantic", "sqlalchemy", "asyncpg", "aiohttp")
    return Finding(
        title="Placing an order",
        lines=[
            Line(
                what=_WHAT,
                measured=ratio(samples[OURS], samples[PGBENCH]),
                unit="pgbench",
                bar=_BAR,
            )
        ],
        method=_METHOD,
        samples=samples,
        notes=[_listing(transaction)],
        versions=(
            *python_versions(*packages),
            ("PostgreSQL", await _postgres_version(shop)),
            ("Valkey", await valkey_version(rig.valkey())),
        ),
    )


async def _orders_side(rig: Rig, shop: Shop, load: Load, clients: int) -> Side:
    tokens = await rig.write("tokens.txt", "".join(f"{one.token}\n" for one in shop.customers))
    products = await rig.write("products.txt", "".join(f"{one}\n" for one in shop.products))
    runs = count(100_000_001)  # each begins the keys of one round
    url = f"{shop.gateway.spec.address}/api/v1/orders"

    def requests() -> Requests:
        arguments = (str(tokens), str(products), str(next(runs)))
        return Requests(script="orders.lua", arguments=arguments)

    return cpu_side(load, url, requests, shop.gateway, shop.orders, clients=clients)


async def _pgbench(rig: Rig, shop: Shop, script: Script) -> Pgbench:
    return Pgbench(
        url=shop.database.runtime_url("orders"),
        file=await rig.write("order.sql", script.text),
        definitions=script.definitions,
        options="-c jit=off",  # like the service's own sessions
    )


def counted(shop: Shop, side: Side, clients: int) -> Side:
    """Reject a round that placed fewer or more orders than it counted, except open ones."""

    async def run(seconds: float) -> Sample:
        before = await shop.count()
        sample = await side(seconds)
        placed = await shop.count() - before
        if not 0 <= placed - sample.operations <= clients:
            message = (
                f"A round of {sample.operations} orders left {placed} in the table, so it is "
                "void. Run the row again."
            )
            raise SlipwayError(message)
        return sample

    return run


def _drawn(shop: Shop) -> Drawn:
    one, two = ([str(product) for product in half] for half in shop.halves)
    customers = [str(customer.id) for customer in shop.customers]
    return Drawn(
        key=_CAPTURED_KEY,
        choices=[
            Choice(variable="one", ids=one, captured=one[0]),
            Choice(variable="two", ids=two, captured=two[0]),
            Choice(variable="customer", ids=customers, captured=customers[0]),
        ],
    )


def _listing(transaction: Sequence[Statement]) -> str:
    lines = [" ".join(statement.sql.split()) for statement in transaction]
    listing = "\n".join(one if len(one) <= _SHOWN else f"{one[:_SHOWN]}…" for one in lines)
    return (
        f"One order is {len(transaction)} statements, each a round trip:\n\n```sql\n{listing}\n```"
    )


async def _postgres_version(shop: Shop) -> str:
    connection = await asyncpg.connect(shop.postgres.url())
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()
