"""Reading orders: one's own, page by page, and anybody's for support."""

import pytest

from chassis.database import new_id

from .conftest import ORDERS, kind_of


@pytest.fixture
def three(product, place, db):
    """Places three orders, a second apart and the last one shipped; answers their ids."""

    async def make(headers=None):
        made = await product(f"S-{new_id()}")
        ids = []
        for number in range(3):
            order = (await place((made["id"], 1), headers=headers)).json()
            await db.execute(
                "UPDATE orders SET created_at = timestamptz '2026-01-15T10:00:00Z'"
                " + make_interval(secs => $2), status = $3 WHERE id = $1",
                order["id"],
                number,
                "shipped" if number == 2 else "placed",
            )
            ids.append(order["id"])
        return ids

    return make


def ids_of(answer):
    assert answer.status_code == 200, answer.text
    return [order["id"] for order in answer.json()["items"]]


async def test_one_sees_ones_own_orders_only_the_newest_first(client, three, customer, caller):
    mine = await three()
    await three(headers=caller())
    answer = await client.get(ORDERS, headers=customer)
    assert ids_of(answer) == mine[::-1]
    assert answer.json()["next_cursor"] is None
    assert "link" not in answer.headers
    assert answer.json()["items"][0]["items"][0]["quantity"] == 1


async def test_pages_of_orders_follow_each_other(client, three, customer, db):
    ids = await three()
    await db.execute("UPDATE orders SET created_at = '2026-01-15T10:00:00Z'")  # the id decides
    first = await client.get(ORDERS, params={"limit": 2}, headers=customer)
    second = await client.get(first.links["next"]["url"], headers=customer)
    assert ids_of(first) + ids_of(second) == ids[::-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "placed"}, [1, 0]),
        ({"status": "shipped"}, [2]),
        ({"status": "cancelled"}, []),
        ({"created_after": "2026-01-15T10:00:00Z"}, [2, 1]),
        ({"created_before": "2026-01-15T12:00:02+02:00"}, [1, 0]),
        (
            {
                "created_after": "2026-01-15T10:00:00Z",
                "created_before": "2026-01-15T10:00:01.5Z",
                "status": "placed",
            },
            [1],
        ),
    ],
)
async def test_orders_are_filtered(client, three, customer, query, found):
    ids = await three()
    answer = await client.get(ORDERS, params=query, headers=customer)
    assert ids_of(answer) == [ids[index] for index in found]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"status": "lost"}, "status"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_after": "1768471200"}, "created_after"),
        ({"created_after": "2026-01-15T10:00:00"}, "created_after"),
        ({"created_before": "0001-01-01T00:00:00+14:00"}, "created_before"),
        ({"created_before": "9999-12-31T23:59:59-12:00"}, "created_before"),
        ({"cursor": "e30"}, "cursor"),
        ({"limit": 1.5}, "limit"),
        ({"customer_id": str(new_id())}, "customer_id"),
    ],
)
async def test_a_bad_filter_is_named(client, customer, query, parameter):
    answer = await client.get(ORDERS, params=query, headers=customer)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


async def test_anothers_order_does_not_exist(client, product, place, caller):
    made = await product()
    location = (await place((made["id"], 1))).headers["location"]
    answer = await client.get(location, headers=caller())
    unknown = await client.get(f"{ORDERS}/{new_id()}", headers=caller())
    assert answer.status_code == unknown.status_code == 404
    assert kind_of(answer) == kind_of(unknown) == "order-not-found"


async def test_support_reads_anybodys_order(client, product, place, caller):
    made = await product()
    placed = await place((made["id"], 1))
    support = caller(scopes=["orders:read", "orders:read-all"])
    answer = await client.get(placed.headers["location"], headers=support)
    assert answer.status_code == 200
    assert answer.json() == placed.json()


@pytest.mark.parametrize("scopes", [[], ["orders:write"], ["orders:read-all"]])
async def test_reading_needs_the_scope(client, caller, scopes):
    for path in (ORDERS, f"{ORDERS}/{new_id()}"):
        answer = await client.get(path, headers=caller(scopes=scopes))
        assert answer.status_code == 403
        assert kind_of(answer) == "insufficient-scope"


async def test_reading_needs_a_token(client):
    for path in (ORDERS, f"{ORDERS}/{new_id()}"):
        answer = await client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_order_that_is_known_is_not_sent_again(client, product, place, customer):
    made = await product()
    placed = await place((made["id"], 1))
    tag = placed.headers["etag"]
    for known in (tag, f"W/{tag}", "*", f'"9", {tag}'):
        headers = {**customer, "If-None-Match": known}
        answer = await client.get(placed.headers["location"], headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    headers = {**customer, "If-None-Match": '"2"'}
    assert (await client.get(placed.headers["location"], headers=headers)).status_code == 200
