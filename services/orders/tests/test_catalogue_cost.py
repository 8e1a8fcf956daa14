"""What the catalogue costs in PostgreSQL: statements of each use case, indexes of each list."""

import re
from typing import Any

import pytest

from chassis.actor import SYSTEM
from chassis.database import new_id
from chassis.paging import PageRequest, TimePosition
from chassis.versions import Expected
from orders.catalog.models import Money
from orders.catalog.wiring import products
from orders.stock.wiring import stock
from testkit.plans import plans_of_orm
from testkit.statements import statements_in_transaction

ANY, FIRST = Expected(), PageRequest[TimePosition](limit=20)
NEW: dict[str, Any] = {
    "sku": "A",
    "name": "Rope",
    "description": "",
    "price": Money(1, "EUR"),
    "active": True,
}


@pytest.fixture
def counted(api_resources):
    """Begin a transaction, and collect what is sent in it after BEGIN, with its COMMIT."""
    return lambda: statements_in_transaction(api_resources.database)


@pytest.fixture
async def made(api_resources):
    async with api_resources.database.transaction() as unit:
        return await products(api_resources, unit).create(**NEW, stock=7, by=SYSTEM)


def kinds(sent):
    """Return what statements insert, and the first words of those that insert nothing."""
    return [" and ".join(re.findall(r"INSERT INTO \w+", one)) or one.split()[0] for one in sent]


ENTRY_AND_EVENT = "INSERT INTO audit_log and INSERT INTO outbox"
ADJUSTMENT = "INSERT INTO stock_adjustments"
PRODUCT = "INSERT INTO products"


@pytest.mark.parametrize(("initial", "more"), [(0, []), (7, [ADJUSTMENT])])
async def test_the_statements_of_creating_a_product(counted, api_resources, made, initial, more):
    assert made.sku == NEW["sku"], "the driver has read the types that it needs"
    async with counted() as (unit, sent):
        await products(api_resources, unit).create(**NEW | {"sku": "B"}, stock=initial, by=SYSTEM)
    assert kinds(sent) == [PRODUCT, *more, ENTRY_AND_EVENT, "COMMIT"]


async def test_the_statements_of_changing_a_product(counted, api_resources, made):
    async with counted() as (unit, sent):
        await products(api_resources, unit).change(
            made.id, expected=ANY, by=SYSTEM, name="Other", price=Money(2, "EUR"), active=False
        )
    assert kinds(sent) == ["SELECT", "UPDATE", ENTRY_AND_EVENT, "COMMIT"]


async def test_the_statements_of_changing_nothing(counted, api_resources, made):
    async with counted() as (unit, sent):
        await products(api_resources, unit).change(made.id, expected=ANY, by=SYSTEM, name="Rope")
        await stock(api_resources, unit).set_stock(
            made.id, stock=7, reason="x", expected=ANY, by=SYSTEM
        )
    assert kinds(sent) == ["SELECT", "SELECT", "COMMIT"]


@pytest.mark.parametrize("relative", [False, True])
async def test_the_statements_of_changing_a_stock(counted, api_resources, made, relative):
    async with counted() as (unit, sent):
        use_cases = stock(api_resources, unit)
        if relative:
            await use_cases.adjust(made.id, delta=3, reason="x", expected=ANY, by=SYSTEM)
        else:
            await use_cases.set_stock(made.id, stock=10, reason="x", expected=ANY, by=SYSTEM)
    assert kinds(sent) == ["SELECT", "UPDATE", ADJUSTMENT, ENTRY_AND_EVENT, "COMMIT"]


@pytest.mark.parametrize(
    ("text", "statements"), [(None, ["SELECT"]), ("", ["SELECT"]), ("rope", ["SELECT"] * 3)]
)
async def test_the_statements_of_a_list(counted, api_resources, made, text, statements):
    """A search has a time limit, which is a statement of its own, and looks for few rows first."""
    async with counted() as (unit, sent):
        found = await products(api_resources, unit).page(FIRST, text=text)
    assert [one.id for one in found.items] == [made.id]
    assert kinds(sent) == [*statements, "COMMIT"]


async def test_the_statements_of_a_product_and_its_history(counted, api_resources, made):
    async with counted() as (unit, sent):
        await products(api_resources, unit).get(made.id)
        await stock(api_resources, unit).history(made.id, FIRST)
    assert kinds(sent) == ["SELECT", "SELECT", "COMMIT"]


@pytest.fixture
async def large(owner, database):
    """Fill the catalogue with 20,000 products, of which half are sold no more, oldest first."""
    del database  # it empties the tables before
    await owner.execute(
        "INSERT INTO products (id, sku, name, description, price_amount, price_currency, stock,"
        " active, version, created_at)"
        " SELECT gen_random_uuid(), 'SKU-' || n, 'Thing with part' || n % 500, '', 1, 'EUR', 1,"
        " n > 10000, 1, '2026-01-01'::timestamptz + n * interval '1 second'"
        " FROM generate_series(1, 20000) AS n"
    )
    await owner.execute(
        "INSERT INTO stock_adjustments (id, product_id, delta, stock, reason, created_at)"
        " SELECT gen_random_uuid(), id, 1, 1, 'x', '2026-01-01'::timestamptz"
        " + n * interval '1 second'"
        " FROM (SELECT id FROM products LIMIT 50) AS p CROSS JOIN generate_series(1, 200) AS n"
    )
    await owner.execute("ANALYZE products; ANALYZE stock_adjustments")


@pytest.fixture
def plans_of(counted, db):
    """Return the plans of the SELECTs that a use case sends, with their own arguments."""

    async def explain(run):
        async with counted() as (unit, _):
            return await plans_of_orm(db, unit, run)

    return explain


LATE = TimePosition.model_validate_json(
    '{"at": "2026-01-01T04:00:00Z", "id": "0193e3a2-5b00-7c44-9d55-1a2b3c4d5e6f"}'
)


LIST = "ix_products_active_created_at_id"


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("wanted", [FIRST, PageRequest(limit=20, after=LATE)])
async def test_a_list_of_products_reads_its_index_in_its_order(plans_of, api_resources, wanted):
    [plan] = await plans_of(lambda unit: products(api_resources, unit).page(wanted, text=None))
    assert LIST in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    "text",
    ["part377", "PART77 thing", "sku-1999", "nothing-has-this", "!!", "\u20ac"],
)
@pytest.mark.parametrize("wanted", [FIRST, PageRequest(limit=20, after=LATE)])
async def test_a_search_for_words_of_few_products_computes_the_words_of_no_other_product(
    plans_of, api_resources, text, wanted
):
    search, page = await plans_of(
        lambda unit: products(api_resources, unit).page(wanted, text=text)
    )
    assert "ix_products_search" in search, search
    assert "to_tsvector" not in page, page
    assert "Seq Scan" not in page, page


@pytest.mark.usefixtures("large")
async def test_a_search_for_a_word_of_all_products_reads_the_list_in_its_order(
    plans_of, api_resources
):
    """The list reaches twenty of them sooner than the search has found all."""
    _, page = await plans_of(lambda unit: products(api_resources, unit).page(FIRST, text="thing"))
    assert LIST in page, page
    assert "Sort" not in page, page


@pytest.mark.usefixtures("large")
async def test_the_history_of_a_stock_reads_its_index_in_its_order(plans_of, api_resources, db):
    product_id = await db.fetchval("SELECT product_id FROM stock_adjustments LIMIT 1")
    [plan] = await plans_of(lambda unit: stock(api_resources, unit).history(product_id, FIRST))
    assert "ix_stock_adjustments_product_id_created_at_id" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


async def test_a_change_of_the_stock_writes_no_index(api_resources, made, db):
    """PostgreSQL updates the row within its page (HOT), so the search costs an order nothing."""
    page = "SELECT split_part(trim('()' from ctid::text), ',', 1) FROM products"
    before = await db.fetchval(page)
    for number in (8, 9):
        async with api_resources.database.transaction() as unit:
            await stock(api_resources, unit).set_stock(
                made.id, stock=number, reason="x", expected=ANY, by=SYSTEM
            )
    assert await db.fetchval(page) == before


async def test_the_statements_of_products_by_their_ids(counted, api_resources, made):
    async with counted() as (unit, sent):
        found = await products(api_resources, unit).page(FIRST, text=None, ids=[made.id, new_id()])
    assert [one.id for one in found.items] == [made.id]
    assert kinds(sent) == ["SELECT", "COMMIT"]


@pytest.mark.usefixtures("large")
async def test_products_by_their_ids_are_read_from_the_primary_key(plans_of, api_resources, db):
    ids = [row["id"] for row in await db.fetch("SELECT id FROM products LIMIT 100")]
    page = PageRequest[TimePosition](limit=100)
    [plan] = await plans_of(
        lambda unit: products(api_resources, unit).page(page, text=None, ids=ids)
    )
    assert "pk_products" in plan, plan
    assert "Seq Scan" not in plan, plan
