"""The database of a service is as new for each test."""

import pytest
from sqlalchemy import Column, ForeignKey, Identity, Integer, MetaData, Table, Text

from testkit.databases import ServiceDatabase

METADATA = MetaData()
ORDERS = Table("orders", METADATA, Column("id", Integer, Identity(), primary_key=True))
ITEMS = Table(
    "items",
    METADATA,
    Column("id", Integer, Identity(), primary_key=True),
    Column("order_id", ForeignKey(ORDERS.c.id), nullable=False),
    Column("name", Text, nullable=False),
)
KEPT = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE 'a row of this table is never deleted'; END $$;
    CREATE TRIGGER kept BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION refuse();
"""
FILL = """
    INSERT INTO orders SELECT FROM generate_series(1, 3);
    INSERT INTO items (order_id, name) SELECT 1, repeat('x', 100) FROM generate_series(1, {rows});
"""


@pytest.mark.parametrize("rows", [3, 20_000], ids=["few rows", "more than a megabyte"])
async def test_it_is_emptied_with_its_sequences_whatever_its_keys_and_triggers_say(
    postgres_url, rows
):
    database = await ServiceDatabase.create_from_metadata(postgres_url, "shop", METADATA)
    await database.run_as_owner(KEPT)
    await database.run_as_owner(FILL.format(rows=rows))

    await database.clean()

    async with database.connected(as_owner=True) as connection:
        assert await connection.fetchval("SELECT count(*) FROM items") == 0
        assert await connection.fetchval("INSERT INTO orders DEFAULT VALUES RETURNING id") == 1
        assert await connection.fetch("INSERT INTO items (order_id, name) VALUES (1, 'a')") == []
        with pytest.raises(Exception, match="never deleted"):
            await connection.execute("DELETE FROM items")
