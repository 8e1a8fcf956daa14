"""A user's list, its count, and marking as read."""

from urllib.parse import quote

import pytest

from chassis.database import new_id

LIST = "/api/v1/notifications"
# Fixed, because a test's id must be the same in every process of a run.
NOBODYS = "01900000-0000-7000-8000-000000000000"
COUNT = "/api/v1/notifications/unread-count"
HOSTILE = [
    "'; DROP TABLE notifications; --",
    "a\r\nX-Injected: 1",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "\x00",
    "\u202eabc",
    "🙂",
    "../../etc/passwd",
]


async def listed(client, headers, user, **query):
    answer = await client.get(LIST, headers=headers(user), params=query)
    assert answer.status_code == 200, answer.text
    return answer


async def test_the_list_is_the_callers_own_newest_first(client, headers, consume, placed):
    user = new_id()
    orders = [placed(user) for _ in range(3)]
    await consume(*orders, placed(new_id()))
    items = (await listed(client, headers, user)).json()["items"]
    assert [item["event_id"] for item in items] == [3, 2, 1]
    assert [item["data"]["order_id"] for item in items] == [
        str(order.order_id) for order in reversed(orders)
    ]
    assert set(items[0]) == {
        "id", "event_id", "type", "title", "body", "data", "created_at", "read_at"
    }  # fmt: skip
    assert items[0]["type"] == "order.placed"
    assert items[0]["created_at"].endswith("Z")
    assert items[0]["read_at"] is None


async def test_pages_join_without_gap_or_double_while_new_ones_come(
    client, headers, consume, placed
):
    user = new_id()
    await consume(*(placed(user) for _ in range(7)))
    answer = await listed(client, headers, user, limit=3)
    found = [item["event_id"] for item in answer.json()["items"]]
    while (cursor := answer.json()["next_cursor"]) is not None:
        assert f"cursor={cursor}" in answer.headers["Link"]
        assert answer.headers["Link"].endswith('rel="next"')
        await consume(placed(user))
        answer = await listed(client, headers, user, limit=3, cursor=cursor)
        found += [item["event_id"] for item in answer.json()["items"]]
    assert found == [7, 6, 5, 4, 3, 2, 1]
    assert "Link" not in answer.headers


async def test_reading_moves_one_from_the_unread_to_the_others(client, headers, consume, placed):
    user = new_id()
    await consume(*(placed(user) for _ in range(3)))
    items = (await listed(client, headers, user)).json()["items"]
    assert (await client.get(COUNT, headers=headers(user))).json() == {"unread": 3}
    answer = await client.post(f"{LIST}/{items[1]['id']}/read", headers=headers(user))
    assert answer.status_code == 200
    assert answer.json() == {**items[1], "read_at": answer.json()["read_at"]}
    assert answer.json()["read_at"] is not None
    assert (await client.get(COUNT, headers=headers(user))).json() == {"unread": 2}
    unread = (await listed(client, headers, user, unread="true")).json()["items"]
    assert [item["event_id"] for item in unread] == [3, 1]
    read = (await listed(client, headers, user, unread="false")).json()["items"]
    assert read == [answer.json()]


async def test_reading_again_keeps_the_first_time(client, headers, consume, placed):
    user = new_id()
    await consume(placed(user))
    (item,) = (await listed(client, headers, user)).json()["items"]
    path = f"{LIST}/{item['id']}/read"
    first = await client.post(path, headers=headers(user))
    again = await client.post(path, headers=headers(user))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()


async def test_another_users_and_a_missing_one_are_both_404(client, headers, consume, placed):
    user, other = new_id(), new_id()
    await consume(placed(user))
    (item,) = (await listed(client, headers, user)).json()["items"]
    for one in (item["id"], new_id()):
        answer = await client.post(f"{LIST}/{one}/read", headers=headers(other))
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].endswith("/notification-not-found")
    assert (await client.get(COUNT, headers=headers(user))).json() == {"unread": 1}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", LIST), ("GET", COUNT), ("POST", f"{LIST}/{NOBODYS}/read")]
)
async def test_without_a_token_401_and_without_the_scope_403(client, tokens, method, path):
    nobody = await client.request(method, path)
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == "Bearer"
    bad = await client.request(method, path, headers={"Authorization": "Bearer x.y.z"})
    assert bad.status_code == 401
    assert "invalid_token" in bad.headers["www-authenticate"]
    without = await client.request(method, path, headers=tokens.headers(scopes=["orders:read"]))
    assert without.status_code == 403
    assert without.json()["type"].endswith("/insufficient-scope")
    assert without.json()["request_id"] == without.headers["x-request-id"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("unread", "perhaps"),
        ("cursor", "nothing"),
        ("cursor", "eyJldmVudF9pZCI6MH0"),  # {"event_id":0}
        ("cursor", "eyJhdCI6MX0"),  # {"at":1}
        ("cursor", "e" * 501),
        ("offset", "1"),
    ],
)
async def test_a_wrong_parameter_is_422_and_named(client, headers, name, value):
    answer = await client.get(LIST, headers=headers(new_id()), params={name: value})
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [name]


async def test_an_invalid_id_is_422(client, headers):
    answer = await client.post(f"{LIST}/one/read", headers=headers(new_id()))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "notification_id"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["cursor", "unread", "limit", "x"])
async def test_hostile_parameters_are_422(client, headers, name, text):
    answer = await client.get(LIST, headers=headers(new_id()), params={name: text})
    assert answer.status_code == 422
    assert "x-injected" not in answer.headers


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_ids_find_nothing(client, headers, text):
    path = f"{LIST}/{quote(text, safe='')}/read"
    answer = await client.post(path, headers=headers(new_id()))
    assert answer.status_code in {404, 422}


async def test_an_unknown_path_and_a_wrong_method_are_problems(client, headers):
    assert (await client.get(f"{LIST}/nothing/here")).status_code == 404
    answer = await client.delete(LIST, headers=headers(new_id()))
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_large_body_is_413(client, headers):
    answer = await client.post(
        f"{LIST}/{new_id()}/read", headers=headers(new_id()), content=b"x" * (1024 * 1024 + 1)
    )
    assert answer.status_code in {404, 413}
