"""Pages of the lists of orders, at a million orders: the thousandth beside the first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import asyncpg

from bench.load import Load, Requests, Wrk, cpu_side
from bench.machine import python_versions
from bench.results import Finding, Line
from bench.rig import Rig, User
from bench.rounds import Pace, Sample, Side, ratio, take_turns
from bench.shop import OrdersPlace, start_orders
from bench.tools import find, version_of
from chassis.http.pages import cursor_of
from chassis.paging import TimePosition
from slipway.local.program import Program

TOOLS = ("wrk",)
FIRST = "page 1"
LATE = "page 1,000"
_BAR = 1.2
_PAGE = 20
_PAGES_BEFORE = 999
_SHARE = 40  # one order in so many is the customer's
_LIST = "/api/v1/orders"
_CLIENTS = 8
_FILL_SECONDS = 600
_METHOD = f"""\
SQL fills the orders schema with a million orders of one line each: the customer has one in
{_SHARE}, and one in {_SHARE} waits to be confirmed. `wrk` reads one page of {_PAGE} orders on
{_CLIENTS} connections, directly from the orders process. The late page is asked for with the cursor
of the page before it. Bars compare how many pages a second each side reads."""
# A row of a list differs from others by its time, as in life; the ids are of the same age.
_FILL = (
    """
    INSERT INTO orders.products (id, sku, name, description, price_amount, price_currency, stock,
        version)
    VALUES (gen_random_uuid(), 'BENCH', 'Manila rope', '', 3490, 'EUR', 1000, 1)
    """,
    """
    INSERT INTO orders.customers (id, version)
    SELECT $1::uuid, 1 UNION ALL SELECT gen_random_uuid(), 1 FROM generate_series(1, 1000)
    """,
    """
    INSERT INTO orders.orders (id, customer_id, status, total_amount, total_currency,
        shipping_address, version, created_at, updated_at)
    SELECT uuidv7(make_interval(secs => n - $2)),
        CASE WHEN n % {share} = 0 THEN $1::uuid ELSE others.ids[1 + n % 1000] END,
        CASE WHEN n % {share} = 1 THEN 'placed' ELSE 'delivered' END, 3490, 'EUR',
        '{"name": "A", "line1": "1", "line2": null, "city": "L",
            "postal_code": "1", "country": "GB"}', 1,
        now() + make_interval(secs => n - $2), now()
    FROM generate_series(1, $2::int) AS n, (
        SELECT array_agg(id) AS ids FROM orders.customers WHERE id <> $1
    ) AS others
    """,
    """
    INSERT INTO orders.order_lines (order_id, product_id, position, name, quantity,
        unit_price_amount, unit_price_currency)
    SELECT o.id, p.id, 0, p.name, 1, 3490, 'EUR'
    FROM orders.orders AS o CROSS JOIN orders.products AS p
    """,
)
_EMPTY = "TRUNCATE orders.products, orders.customers, orders.orders CASCADE"
_BEFORE = """
    SELECT created_at, id FROM orders.orders WHERE {condition} AND $2::uuid IS NOT NULL
    ORDER BY created_at DESC, id DESC OFFSET $1 LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list of orders.

    Attributes:
        name: for the table of bars.
        condition: SQL for the orders in it.
        scopes: that its reader has.
        query: that selects it.
    """

    name: str
    condition: str
    scopes: Sequence[str]
    query: str = ""


_ALL = ("orders:read", "orders:read-all")
LISTINGS = (
    Listing(name="a customer's orders", condition="customer_id = $2", scopes=("orders:read",)),
    Listing(name="all orders", condition="true", scopes=_ALL),
    Listing(
        name="all orders of one status",
        condition="status = 'placed'",
        scopes=_ALL,
        query="&status=placed",
    ),
)


async def measure(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    load = Wrk(find("wrk"), rig.state.path)
    finding = await compare(rig, await start_orders(rig), load, pace, orders=1_000_000)
    return replace(finding, versions=(*finding.versions, ("wrk", await version_of("wrk"))))


async def compare(rig: Rig, place: OrdersPlace, load: Load, pace: Pace, *, orders: int) -> Finding:
    """Replace what the tables hold, and measure each list's first and late page in turns."""
    postgres, database, process = place
    lines: list[Line] = []
    samples: dict[str, Sequence[Sample]] = {}
    connection = await asyncpg.connect(postgres.url(database=database.name))
    try:
        readers = {each: (await rig.users(1, *each.scopes))[0] for each in LISTINGS}
        (reader, *_) = readers.values()
        with rig.reporter.step(f"{orders:,} orders"):
            await _fill(connection, reader.id, orders)
        for listing, reader in readers.items():
            cursor = await _cursor(connection, listing, reader.id, orders)
            sides = {
                f"{listing.name}, {name}": await _side(rig, load, process, reader, query)
                for name, query in (
                    (FIRST, listing.query),
                    (LATE, f"{listing.query}&cursor={cursor}"),
                )
            }
            taken = await take_turns(sides, pace, rig.reporter.say)
            first, late = taken.values()
            samples |= taken
            lines.append(
                Line(
                    what=f"{LATE} of {listing.name}, at {orders:,} orders",
                    measured=ratio(first, late),
                    unit=FIRST,
                    bar=_BAR,
                    at_most=True,
                )
            )
    finally:
        await connection.close()
    return Finding(
        title="Pages of lists",
        lines=lines,
        method=_METHOD,
        samples=samples,
        versions=python_versions("uvicorn", "fastapi", "sqlalchemy", "asyncpg"),
    )


async def _fill(connection: asyncpg.Connection, reader: UUID, orders: int) -> None:
    products, customers, of_orders, lines = _FILL
    for sql, arguments in (
        (_EMPTY, ()),
        (products, ()),
        (customers, (reader,)),
        (of_orders.replace("{share}", str(_SHARE)), (reader, orders)),
        (lines, ()),
        ("VACUUM ANALYZE", ()),
    ):
        await connection.execute(sql, *arguments, timeout=_FILL_SECONDS)


async def _cursor(
    connection: asyncpg.Connection, listing: Listing, reader: UUID, orders: int
) -> str:
    """Return the cursor of the late page; in a short list, that of its middle."""
    before = min(_PAGES_BEFORE * _PAGE, orders // _SHARE // 2)
    sql = _BEFORE.replace("{condition}", listing.condition)
    [row] = await connection.fetch(sql, before - 1, reader, timeout=_FILL_SECONDS)
    position = TimePosition(at=row["created_at"], id=row["id"])
    return cursor_of(position, path=_LIST)


async def _side(rig: Rig, load: Load, process: Program, reader: User, query: str) -> Side:
    tokens = await rig.write(f"reader-{reader.id}.txt", f"{reader.token}\n")
    requests = Requests(script="reads.lua", arguments=(str(tokens),))
    url = f"{process.spec.address}{_LIST}?limit={_PAGE}{query}"
    return cpu_side(load, url, lambda: requests, process, clients=_CLIENTS)
