"""Reading orders: a customer's own, page by page, and any order for support."""

import pytest

from chassis.database import new_id
from testkit.problems import problem_kind

from .conftest import ORDERS


@pytest.fixture
def three(product, place, db):
    """Place three orders, a second apart, the last one shipped; return their ids."""

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


async def test_a_customer_sees_only_their_own_orders_the_newest_first(
    client, three, customer, caller
):
    mine = await three()
    await three(headers=caller())
    answer = await client.get(ORDERS, headers=customer)
    assert ids_of(answer) == mine[::-1]
    assert answer.json()["next_cursor"] is None
    assert "link" not in answer.headers
    assert answer.json()["items"][0]["items"][0]["quantity"] == 1


async def test_pages_of_orders_follow_each_other(client, three, customer, db):
    ids = await three()
    # For equal times, the id decides.
    await db.execute("UPDATE orders SET created_at = '2026-01-15T10:00:00Z'")
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
        ({"customer_id": "ada"}, "customer_id"),
        ({"total": "maybe"}, "total"),
    ],
)
async def test_a_bad_filter_is_named(client, customer, query, parameter):
    answer = await client.get(ORDERS, params=query, headers=customer)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


async def test_the_length_of_a_filtered_list_is_counted_if_asked_for(client, three, customer):
    await three()
    plain = await client.get(ORDERS, params={"limit": 1}, headers=customer)
    assert plain.json()["total"] is None
    query = {"limit": 1, "total": "true"}
    counted = await client.get(ORDERS, params=query, headers=customer)
    assert (counted.json()["total"], len(counted.json()["items"])) == (3, 1)
    filtered = await client.get(ORDERS, params={**query, "status": "placed"}, headers=customer)
    assert filtered.json()["total"] == 2
    following = await client.get(counted.links["next"]["url"], headers=customer)
    assert following.json()["total"] is None, "the link does not count again"
    cursor = counted.json()["next_cursor"]
    last = await client.get(ORDERS, params={**query, "cursor": cursor}, headers=customer)
    assert last.json()["total"] == 3, "of all pages, not of those that follow"


async def test_support_lists_all_orders_or_those_of_a_customer(client, three, support, caller, db):
    user = new_id()
    mine, theirs = await three(), await three(headers=caller(user))
    # Equal times: the id decides.
    await db.execute("UPDATE orders SET created_at = '2026-01-15T10:00:00Z'")
    query = {"total": "true"}
    everything = await client.get(ORDERS, params=query, headers=support)
    assert ids_of(everything) == sorted([*mine, *theirs], reverse=True)
    assert everything.json()["total"] == 6
    one = {**query, "customer_id": str(user), "status": "shipped"}
    some = await client.get(ORDERS, params=one, headers=support)
    assert (ids_of(some), some.json()["total"]) == ([theirs[2]], 1)


async def test_a_customer_lists_nobody_elses_orders(client, three, caller):
    user = new_id()
    mine = await three(headers=caller(user))
    own = await client.get(ORDERS, params={"customer_id": str(user)}, headers=caller(user))
    assert ids_of(own) == mine[::-1]
    other = await client.get(ORDERS, params={"customer_id": str(user)}, headers=caller())
    assert other.status_code == 403
    assert problem_kind(other) == "insufficient-scope"
    assert other.json()["scope"] == "orders:read-all"


async def test_anothers_order_does_not_exist(client, product, place, caller):
    made = await product()
    location = (await place((made["id"], 1))).headers["location"]
    answer = await client.get(location, headers=caller())
    unknown = await client.get(f"{ORDERS}/{new_id()}", headers=caller())
    assert answer.status_code == unknown.status_code == 404
    assert problem_kind(answer) == problem_kind(unknown) == "order-not-found"


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
        assert problem_kind(answer) == "insufficient-scope"


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
