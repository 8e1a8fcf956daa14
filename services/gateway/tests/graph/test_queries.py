"""What can be read: fields, pages, errors of one field, and how many requests they cost."""

import asyncio
from uuid import UUID

import pytest

from .conftest import HANG, PROBLEM, USER, id_of, order, product

PAGE = """
query Page($first: Int!) {
  orders(first: $first) {
    nodes {
      id status createdAt total { amount currency }
      items { name quantity unitPrice { amount } product { id name price { amount } stock } }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""


async def test_all_fields_of_the_roots_are_read_by_the_names_of_graphql(ask):
    got = await ask(
        """{
          me { id email fullName roles isActive emailVerified version createdAt }
          order(id: "ORDER") { id status version total { amount } shippingAddress { city } }
          product(id: "PRODUCT") { sku active price { amount currency } }
          products(q: "x") { edges { cursor node { name } } }
          notifications(unread: true) { nodes { eventId type data readAt } }
          unreadCount
          preferences { orders { inApp email } locale version }
        }""".replace("ORDER", id_of(9)).replace("PRODUCT", id_of(2))
    )
    assert "errors" not in got
    data = got["data"]
    assert data["me"]["fullName"] == USER["full_name"]
    assert data["order"]["status"] == "PLACED"
    assert data["order"]["total"] == {"amount": 10**12}, "an amount may exceed 32 bits"
    assert data["product"] == {
        "sku": "SKU-2",
        "active": True,
        "price": {"amount": 200, "currency": "EUR"},
    }
    assert data["products"]["edges"] == [{"cursor": None, "node": {"name": "Product 1"}}]
    assert data["notifications"]["nodes"][0]["data"] == {"order_id": id_of(9)}
    assert (data["unreadCount"], data["preferences"]["orders"]["email"]) == (3, False)


async def test_a_page_of_20_orders_with_products_is_two_requests(ask, system):
    system.orders = [order(n, products=(n, n + 1, n + 2)) for n in range(10, 30)]
    got = await ask(PAGE, {"first": 20})
    assert "errors" not in got
    assert len(got["data"]["orders"]["nodes"]) == 20
    last = got["data"]["orders"]["nodes"][-1]["items"][-1]
    assert last["product"]["id"] == id_of(31)
    assert system.paths() == ["/api/v1/orders", "/api/v1/products"]
    assert system.calls[0].query["limit"] == ["20"]
    assert len(system.calls[1].query["ids"]) == 22


async def test_more_than_100_products_are_read_in_parallel(ask, system):
    """20 orders of 8 other products each are 160: three requests, the last two at once."""
    system.orders = [order(n, products=range(n * 8, n * 8 + 8)) for n in range(20)]
    both = asyncio.Barrier(2)

    async def page(call):
        async with asyncio.timeout(5):
            await both.wait()
        return 200, system._body(call)

    system.answers["GET", "/api/v1/products"] = page
    got = await ask(PAGE, {"first": 20})
    assert "errors" not in got
    assert len(system.calls) == 3


async def test_fields_of_several_services_are_read_in_parallel(ask, system):
    all_three = asyncio.Barrier(3)

    async def waiting(call):
        async with asyncio.timeout(5):
            await all_three.wait()
        return 200, system._body(call)

    for path in ("users/me", "notifications/unread-count", "orders"):
        system.answers["GET", f"/api/v1/{path}"] = waiting
    got = await ask("{ me { id } unreadCount orders { nodes { id } } }")
    assert "errors" not in got


async def test_the_same_read_is_sent_once(ask, system):
    got = await ask("{ me { id } again: me { email } }")
    assert got["data"]["again"]["email"] == USER["email"]
    assert system.paths() == ["/api/v1/users/me"]


async def test_a_product_that_is_gone_is_null(ask, system):
    system.answers["GET", "/api/v1/products"] = (200, {"items": [product(1)], "next_cursor": None})
    got = await ask(PAGE, {"first": 3})
    assert "errors" not in got
    items = got["data"]["orders"]["nodes"][0]["items"]
    assert [item["product"] and item["product"]["id"] for item in items] == [id_of(1), None, None]


async def test_pages_are_continued_by_their_end_cursor(ask, system):
    system.next_cursor = "abc"
    query = "query($after: String) { orders(after: $after) { totalCount edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }"  # noqa: E501 - one line of GraphQL
    page = (await ask(query))["data"]["orders"]
    assert page["totalCount"] == 99
    assert [edge["cursor"] for edge in page["edges"]] == [None, None, "abc"]
    assert page["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": False, "endCursor": "abc"}
    await ask(query, {"after": "abc"})
    assert system.calls[1].query["cursor"] == ["abc"]
    assert system.calls[1].query["total"] == ["true"]


async def test_orders_are_counted_only_if_asked_for(ask, system):
    await ask(
        "{ orders(status: SHIPPED) { ...page } } fragment page on OrderConnection { nodes { id } }"
    )
    assert system.calls[0].query == {"limit": ["20"], "status": ["shipped"]}
    await ask("{ orders { ...page } } fragment page on OrderConnection { totalCount }")
    assert system.calls[1].query["total"] == ["true"]


async def test_calls_have_the_token_the_request_id_and_the_time_left_and_no_cookie(
    gateway_of_graph, system, bearer
):
    sent = {**bearer, "X-Request-ID": "mine-1", "Cookie": "a=b", "X-User": "admin"}
    answer = await gateway_of_graph.http.post(
        "/graphql", json={"query": "{ me { id } }"}, headers=sent
    )
    assert answer.headers["x-request-id"] == "mine-1"
    seen = system.calls[0].headers
    assert seen["authorization"] == bearer["Authorization"]
    assert seen["x-request-id"] == "mine-1"
    assert 0 < int(seen["x-request-timeout-ms"]) <= 10_000
    assert not {"cookie", "x-user", "accept", "content-length"} & seen.keys()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_a_field_that_its_service_refuses_is_null_with_the_problem(ask, system, status):
    problem = {
        "type": f"{PROBLEM}some-problem",
        "title": "Some problem.",
        "status": status,
        "detail": "Why.",
        "instance": "/x",
        "request_id": "of-the-service",
        "retry_after": 3,
    }
    system.answers["GET", "/api/v1/users/me"] = (status, problem)
    got = await ask("{ me { id } unreadCount }")
    assert got["data"] == {"me": None, "unreadCount": 3}
    [error] = got["errors"]
    assert (error["message"], error["path"]) == ("Why.", ["me"])
    assert error["extensions"].pop("request_id") not in {"", "of-the-service"}
    assert error["extensions"] == {
        "type": f"{PROBLEM}some-problem",
        "title": "Some problem.",
        "status": status,
        "retry_after": 3,
    }


async def test_products_that_can_not_be_read_null_only_themselves(ask, system):
    system.answers["GET", "/api/v1/products"] = (503, b"<html>")
    got = await ask(PAGE, {"first": 3})
    nodes = got["data"]["orders"]["nodes"]
    assert [node["id"] for node in nodes] == [id_of(10), id_of(11), id_of(12)]
    assert all(item["product"] is None for node in nodes for item in node["items"])
    assert {error["extensions"]["status"] for error in got["errors"]} == {502}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"items": 3, "next_cursor": 1}', b"null"])
async def test_garbage_of_a_service_is_an_error_without_a_trace(ask, system, content):
    system.answers["GET", "/api/v1/orders"] = (200, content)
    got = await ask("{ orders { nodes { id } } unreadCount }")
    assert got["data"] == {"orders": None, "unreadCount": 3}
    [error] = got["errors"]
    assert error["extensions"]["status"] in {500, 502}
    assert not {"Traceback", "Error", "NoneType"} & set(error["message"].split())


async def test_a_service_that_is_away_or_too_slow_nulls_its_fields_only(graph, ask, system):
    system.answers["GET", "/api/v1/orders"] = HANG
    gateway = await graph(users_url="http://127.0.0.1:1", graphql_timeout=0.5)
    got = await ask("{ me { id } orders { nodes { id } } unreadCount }", gateway=gateway)
    assert got["data"] == {"me": None, "orders": None, "unreadCount": 3}
    kinds = {error["path"][0]: error["extensions"]["type"] for error in got["errors"]}
    assert kinds == {"me": f"{PROBLEM}unavailable", "orders": f"{PROBLEM}gateway-timeout"}


async def test_without_a_token_public_fields_are_read_and_services_refuse_the_others(ask, system):
    got = await ask("{ products { nodes { id } } }", headers=None)
    assert got["data"]["products"]["nodes"] == [{"id": id_of(1)}]
    assert "authorization" not in system.calls[0].headers


@pytest.mark.parametrize("wrong", ["..", "../users/me", "x", "1", "a%2Fb", "\\u0000"])
async def test_an_id_leads_to_no_other_path(ask, system, wrong):
    got = await ask(f'{{ order(id: "{wrong}") {{ id }} }}')
    assert got["data"] == {"order": None}
    assert got["errors"][0]["extensions"]["type"] == f"{PROBLEM}validation-failed"
    assert system.calls == []


@pytest.mark.parametrize("begin", ["\\r\\n", "{", "urn:uuid:00", "+0", "0_"])
async def test_an_id_is_a_part_of_a_path_in_its_plain_form(ask, system, begin):
    """Whatever else Python reads as a UUID would get into the head of the request."""
    await ask(f'{{ order(id: "{begin}{"0" * (32 if begin == "{" else 30)}") {{ id }} }}')
    assert system.paths() == [f"/api/v1/orders/{UUID(int=0)}"]
