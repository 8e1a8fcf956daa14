"""Mutations: one request of the REST API each."""

import pytest

from .conftest import PROBLEM, id_of

ADDRESS = '{ name: "Ada", line1: "1 St", city: "Bern", postalCode: "3000", country: "CH" }'
CHOSEN = 'preferences: { orders: { email: false }, locale: "de" }'
ORDER, NOTE = id_of(9), id_of(5)
PLACE = (
    f'mutation {{ placeOrder(idempotencyKey: "k-1", items: [{{ productId: "{id_of(1)}", '
    f"quantity: 2 }}], shippingAddress: {ADDRESS}) "
    "{ id status items { product { name } } } }"
)


@pytest.mark.parametrize(
    ("mutation", "method", "path", "headers", "body"),
    [
        (
            f'cancelOrder(id: "{ORDER}", ifMatch: 3, reason: "Why", idempotencyKey: "k") {{ id }}',
            "POST",
            f"orders/{ORDER}/cancel",
            {"if-match": '"3"', "idempotency-key": "k"},
            {"reason": "Why"},
        ),
        (f'confirmOrder(id: "{ORDER}") {{ id }}', "POST", f"orders/{ORDER}/confirm", {}, None),
        (f'shipOrder(id: "{ORDER}") {{ id }}', "POST", f"orders/{ORDER}/ship", {}, None),
        (f'deliverOrder(id: "{ORDER}") {{ id }}', "POST", f"orders/{ORDER}/deliver", {}, None),
        (f'refundOrder(id: "{ORDER}") {{ id }}', "POST", f"orders/{ORDER}/refund", {}, None),
        (
            f'markNotificationRead(id: "{NOTE}") {{ readAt }}',
            "POST",
            f"notifications/{NOTE}/read",
            {},
            None,
        ),
        ("markAllNotificationsRead", "POST", "notifications/read-all", {}, None),
        (
            "markAllNotificationsRead(lastEventId: 5000000000)",
            "POST",
            "notifications/read-all",
            {},
            {"last_event_id": 5_000_000_000},
        ),
        (
            'updateProfile(fullName: "Ada L.", ifMatch: 4) { fullName }',
            "PATCH",
            "users/me",
            {"if-match": '"4"', "content-type": "application/merge-patch+json"},
            {"full_name": "Ada L."},
        ),
        (
            f"updatePreferences({CHOSEN}, ifMatch: 2) {{ version }}",
            "PUT",
            "notifications/preferences",
            {},
            {
                "orders": {"in_app": True, "email": False, "webhook": True},
                "locale": "de",
                "version": 2,
            },
        ),
    ],
)
async def test_a_mutation_is_the_request_of_the_same_use_case(
    ask, system, mutation, method, path, headers, body
):
    system.answers["PUT", "/api/v1/notifications/preferences"] = (200, {"version": 3})
    got = await ask(f"mutation {{ {mutation} }}")
    assert "errors" not in got
    [call] = system.calls
    assert (call.method, call.path, call.body) == (method, f"/api/v1/{path}", body)
    assert headers.items() <= call.headers.items()
    assert {"if-match", "idempotency-key"} & call.headers.keys() == (
        {"if-match", "idempotency-key"} & headers.keys()
    )


async def test_an_order_is_placed_once_for_its_key(ask, system):
    got = await ask(PLACE)
    assert got["data"]["placeOrder"]["status"] == "PLACED"
    placed, products = system.calls
    assert placed.headers["idempotency-key"] == "k-1"
    assert placed.body == {
        "items": [{"product_id": id_of(1), "quantity": 2}],
        "shipping_address": {
            "name": "Ada",
            "line1": "1 St",
            "city": "Bern",
            "postal_code": "3000",
            "country": "CH",
        },
    }
    assert products.path == "/api/v1/products"


async def test_an_order_without_a_key_is_refused(ask, system):
    await ask(PLACE.replace('idempotencyKey: "k-1", ', ""), status=400)
    assert system.calls == []


@pytest.mark.parametrize("key", ["", "a b", "a\\r\\nX-User: 1", "é", "x" * 256])
async def test_a_key_that_is_no_header_value_is_refused_before_a_call(ask, system, key):
    got = await ask(PLACE.replace("k-1", key))
    assert got["data"] == {"placeOrder": None}
    assert got["errors"][0]["extensions"]["type"] == f"{PROBLEM}validation-failed"
    assert system.calls == []


async def test_a_mutation_that_is_refused_leaves_the_others(ask, system):
    conflict = {
        "type": f"{PROBLEM}out-of-stock",
        "title": "Out of stock.",
        "status": 409,
        "detail": "Only 1 is left.",
        "available": 1,
    }
    system.answers["POST", "/api/v1/orders"] = (409, conflict)
    got = await ask(PLACE[:-1] + " markAllNotificationsRead }")
    assert got["data"] == {"placeOrder": None, "markAllNotificationsRead": 0}
    [error] = got["errors"]
    assert (error["message"], error["extensions"]["available"]) == ("Only 1 is left.", 1)


async def test_mutations_run_one_after_the_other_and_read_what_the_last_changed(ask, system):
    again = PLACE[len("mutation {") : -1].replace("placeOrder", "b: placeOrder")
    got = await ask(PLACE[:-1] + again + "}")
    assert "errors" not in got
    assert system.paths() == ["/api/v1/orders", "/api/v1/orders", *["/api/v1/products"] * 2] or (
        system.paths() == ["/api/v1/orders", "/api/v1/products"] * 2
    )
