"""One effect for each Idempotency-Key, and no trace of what was rolled back."""

import asyncio
from collections import Counter

from chassis.database import new_id
from testkit.problems import problem_kind

from .conftest import ORDERS, PRODUCTS, WAITING, body_of, until_true

HELD = (
    "SELECT count(*) > 0 FROM pg_locks JOIN pg_database d ON d.oid = database"
    " WHERE locktype = 'advisory' AND d.datname = current_database()"
)


async def counts(db):
    tables = ("orders", "order_lines", "outbox", "idempotency_keys")
    return {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def test_a_repeated_request_gets_the_first_response_byte_for_byte(client, product, place, db):
    made = await product(stock=5)
    first = await place((made["id"], 2), key="k1")
    await db.execute("UPDATE products SET name = 'Renamed'")
    before = await counts(db)
    again = await place((made["id"], 2), key="k1")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("location", "etag", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert await counts(db) == before
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 3


async def test_ten_parallel_requests_with_one_key_place_one_order(client, product, place, db):
    made = await product(stock=50)
    answers = await asyncio.gather(*(place((made["id"], 1), key="k1") for _ in range(10)))
    assert set(Counter(answer.status_code for answer in answers)) <= {201, 409}
    bodies = {answer.content for answer in answers if answer.status_code == 201}
    assert len(bodies) == 1
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {problem_kind(answer) for answer in refused} <= {"idempotency-in-flight"}
    assert (await counts(db))["orders"] == 1
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 49
    later = await place((made["id"], 1), key="k1")
    assert {later.content} == bodies


async def test_a_request_whose_first_is_in_progress_is_409(product, place, owner, db):
    made = await product(stock=5)
    async with owner.transaction():
        await owner.execute("SELECT FROM products FOR UPDATE")
        first = asyncio.create_task(place((made["id"], 1), key="k1"))
        await until_true(db, HELD)
        second = await place((made["id"], 1), key="k1")
        assert second.status_code == 409
        assert problem_kind(second) == "idempotency-in-flight"
    assert (await first).status_code == 201


async def test_between_lock_and_insert_a_release_with_another_lock_stores_the_key(
    client, product, place, caller, owner, db
):
    made, user = await product(stock=5), new_id()
    async with owner.transaction():
        await owner.execute(
            "INSERT INTO idempotency_keys (caller, endpoint, key, body_hash, status, headers, body)"
            " VALUES ($1, $2, 'k1', '', 201, '{}', '')",
            user,
            f"POST {ORDERS}",
        )
        placing = asyncio.create_task(place((made["id"], 1), headers=caller(user), key="k1"))
        await until_true(db, WAITING)
    refused = await placing
    assert (refused.status_code, problem_kind(refused)) == (409, "idempotency-in-flight")
    assert refused.headers["retry-after"] == "1"
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json()["stock"] == 5


async def test_another_body_under_the_same_key_is_refused(product, place, db):
    made = await product()
    await place((made["id"], 1), key="k1")
    before = await counts(db)
    answer = await place((made["id"], 2), key="k1")
    assert answer.status_code == 422
    assert problem_kind(answer) == "idempotency-key-reused"
    assert answer.json()["errors"][0]["header"] == "Idempotency-Key"
    assert await counts(db) == before


async def test_the_same_key_of_another_caller_is_another_key(product, place, caller):
    made = await product()
    first = await place((made["id"], 1), key="k1", headers=caller())
    second = await place((made["id"], 1), key="k1", headers=caller())
    assert first.status_code == second.status_code == 201
    assert first.json()["id"] != second.json()["id"]


async def test_without_a_key_no_order_is_placed(client, customer, product, db):
    made = await product()
    before = await counts(db)
    answer = await client.post(ORDERS, json=body_of((made["id"], 1)), headers=customer)
    assert answer.status_code == 400
    assert problem_kind(answer) == "idempotency-key-missing"
    assert await counts(db) == before


async def test_with_a_key_each_a_body_is_placed_each_time(product, place):
    made = await product()
    ids = {(await place((made["id"], 1))).json()["id"] for _ in range(3)}
    assert len(ids) == 3


async def test_a_product_created_again_with_its_key_is_the_first_one(client, tokens):
    clerk = tokens.headers(scopes=["catalog:write"])
    body = {
        "sku": "K-1",
        "name": "Lamp",
        "description": "",
        "price": {"amount": 1, "currency": "EUR"},
        "stock": 1,
    }
    headers = {**clerk, "Idempotency-Key": "k1"}
    first, again = [await client.post(PRODUCTS, json=body, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.content, again.headers["location"]) == (first.content, first.headers["location"])
    without = await client.post(PRODUCTS, json=body, headers=clerk)
    assert problem_kind(without) == "sku-taken"


async def test_an_invalid_key_is_named(client, customer):
    for key in ("", "two words", "x" * 256, "é"):
        headers = {**customer, "Idempotency-Key": key.encode("latin-1")}
        answer = await client.post(ORDERS, json=body_of(), headers=headers)
        assert answer.status_code == 422
        assert "Idempotency-Key".lower() in {
            str(error.get("header")).lower() for error in answer.json()["errors"]
        }


async def test_a_refused_order_leaves_no_trace_and_its_key_is_free(client, product, place, db):
    one, two = await product("A", stock=5), await product("B", stock=1)
    before = await counts(db)
    refused = await place((one["id"], 1), (two["id"], 2), key="k1")
    assert problem_kind(refused) == "out-of-stock"
    assert await counts(db) == before
    assert (await client.get(f"{PRODUCTS}/{one['id']}")).json() == one
    await db.execute("UPDATE products SET stock = 10")
    assert (await place((one["id"], 1), (two["id"], 2), key="k1")).status_code == 201


async def test_a_failure_at_the_very_end_leaves_no_trace(client, product, place, db, owner):
    """The outbox is written last. If that fails, order, stock and key must be rolled back."""
    made = await product(stock=5)
    before = await counts(db)
    await owner.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse();
        """
    )
    try:
        failed = await place((made["id"], 1), key="k1")
    finally:
        await owner.execute("DROP FUNCTION refuse CASCADE")
    assert failed.status_code == 500
    assert problem_kind(failed) == "internal-server-error"
    assert "refused" not in failed.text
    assert await counts(db) == before
    assert (await client.get(f"{PRODUCTS}/{made['id']}")).json() == made
    assert (await place((made["id"], 1), key="k1")).status_code == 201
