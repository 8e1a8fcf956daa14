"""The schema matches the models, has rules of its own, and is closed to other services."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from chassis.database import new_id
from chassis.database.migrations import check
from chassis.role_names import owner_role, runtime_role
from testkit.databases import bootstrap_services, url_for

INSERT_PRODUCT = (
    "INSERT INTO products"
    " (id, sku, name, description, price_amount, price_currency, stock, version)"
    " VALUES ($1, $2, 'Rope', '', $3, $4, $5, 1)"
)
INSERT_ORDER = (
    "INSERT INTO orders (id, customer_id, status, total_amount, total_currency, shipping_address,"
    " version) VALUES ($1, $2, $3, 1, 'EUR', '{}', 1)"
)
INSERT_LINE = (
    "INSERT INTO order_lines (order_id, product_id, position, name, quantity, unit_price_amount,"
    " unit_price_currency) VALUES ($1, $2, 0, 'Rope', $3, 1, 'EUR')"
)


async def test_models_and_migrations_do_not_differ(service_directory, database):
    await asyncio.to_thread(check, service_directory, database.owner_url)


@pytest.mark.parametrize(
    ("amount", "currency", "stock", "rule"),
    [
        (1, "EUR", -1, "ck_products_stock_not_negative"),
        (-1, "EUR", 1, "ck_products_price_not_negative"),
        (1, "eur", 1, "ck_products_currency_format"),
    ],
)
async def test_a_product_that_breaks_a_rule_is_not_stored(db, amount, currency, stock, rule):
    with pytest.raises(asyncpg.CheckViolationError, match=rule):
        await db.execute(INSERT_PRODUCT, new_id(), "A", amount, currency, stock)


async def test_a_sku_is_stored_once(db):
    await db.execute(INSERT_PRODUCT, new_id(), "A", 1, "EUR", 1)
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_products_sku"):
        await db.execute(INSERT_PRODUCT, new_id(), "A", 1, "EUR", 1)


async def test_an_order_that_breaks_a_rule_is_not_stored(db):
    customer, product, order = new_id(), new_id(), new_id()
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="fk_orders_customer_id_customers"):
        await db.execute(INSERT_ORDER, order, customer, "placed")
    await db.execute("INSERT INTO customers (id, version) VALUES ($1, 0)", customer)
    with pytest.raises(asyncpg.CheckViolationError, match="ck_orders_status_known"):
        await db.execute(INSERT_ORDER, order, customer, "lost")
    await db.execute(INSERT_PRODUCT, product, "A", 1, "EUR", 1)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="fk_order_lines_order_id_orders"):
        await db.execute(INSERT_LINE, order, product, 1)
    await db.execute(INSERT_ORDER, order, customer, "placed")
    with pytest.raises(asyncpg.CheckViolationError, match="ck_order_lines_quantity_positive"):
        await db.execute(INSERT_LINE, order, product, 0)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="fk_order_lines_product_id"):
        await db.execute(INSERT_LINE, order, new_id(), 1)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE orders ADD COLUMN mine int",
        "ALTER TABLE orders DISABLE TRIGGER ALL",
        "CREATE INDEX mine ON orders (status)",
        "DROP TABLE orders",
        "TRUNCATE order_lines",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE public.mine (id int)",
    ],
)
async def test_the_runtime_role_changes_no_schema(db, statement):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(statement)


@pytest.fixture
async def neighbour(database):
    """Add another service to the database, with a table; return its name."""
    service = f"neighbour_{new_id().hex}"  # roles belong to the server, which other tests use too
    name = name_of(database)
    await bootstrap_services(database.superuser_url, name, [service])
    url = url_for(database.superuser_url, database=name, role=owner_role(service))
    async with connected(url) as own:
        await own.execute("CREATE TABLE secrets (id int); INSERT INTO secrets VALUES (1)")
    yield service
    async with connected(database.superuser_url) as admin:
        for role in (runtime_role(service), owner_role(service)):
            await admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def name_of(database):
    return str(make_url(database.superuser_url).database)


@asynccontextmanager
async def connected(url):
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM {schema}.secrets",
        "INSERT INTO {schema}.secrets VALUES (2)",
        "DELETE FROM {schema}.secrets",
        "CREATE TABLE {schema}.mine (id int)",
    ],
)
async def test_neither_role_reaches_the_schema_of_another_service(db, owner, neighbour, statement):
    for connection in (db, owner):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(schema=neighbour))


@pytest.mark.parametrize("role", [owner_role, runtime_role])
async def test_another_service_reads_no_order(database, neighbour, role):
    url = url_for(database.superuser_url, database=name_of(database), role=role(neighbour))
    async with connected(url) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM orders.orders")
