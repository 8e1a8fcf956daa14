"""Nothing that a client sends makes a 5xx, and every refusal is a problem document."""

import json
import sys
from typing import Any

import httpx
import pytest

BASKETS = "/api/v1/baskets"
JSON = {"Content-Type": "application/json"}


async def post(client: httpx.AsyncClient, body: bytes | str) -> httpx.Response:
    return await client.post(BASKETS, content=body, headers=JSON)


def problem(answer: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Check what all problems have, and give the document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"].rsplit("/", 1)[-1] == name
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"] == answer.request.url.raw_path.decode().split("?")[0]
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


def pointers(answer: httpx.Response) -> list[str]:
    document = problem(answer, 422, "validation-failed")
    return [error["pointer"] for error in document["errors"]]


# Up to Python 3.12 the brace is wrong after a trailing comma, from 3.13 on the comma.
COMMA = 12 if sys.version_info >= (3, 13) else 13


@pytest.mark.parametrize(
    ("body", "place"),
    [('{"name": }', 9), ('{"name": "a",}', COMMA), ("{", 1), ("nul", 0), ('{"a": 1} x', 9)],
)
async def test_malformed_json_is_400_and_says_where(
    client: httpx.AsyncClient, body: str, place: int
):
    detail = problem(await post(client, body), 400, "malformed-request")["detail"]
    assert f"at character {place}" in detail


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "\xff\xfe"}',
        b'{"name": "a", "count": ' + b"9" * 5000 + b"}",
        b"[" * 200_000 + b"]" * 200_000,
        b'{"name":' * 100_000,
        b'{"name": "a", "ratio": NaN}',
        b'{"name": "a", "ratio": -Infinity}',
        b"\x00",
    ],
    ids=["UTF-8", "digits", "lists", "objects", "NaN", "Infinity", "NUL"],
)
async def test_what_is_no_json_is_400(client: httpx.AsyncClient, body: bytes):
    problem(await post(client, body), 400, "malformed-request")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"count": "1"}, "#/count"),
        ({"count": 1.0}, "#/count"),
        ({"count": True}, "#/count"),
        ({"count": None}, "#/count"),
        ({"count": 2**63}, "#/count"),
        ({"count": -(2**63) - 1}, "#/count"),
        ({"count": 10**400}, "#/count"),
        ({"ratio": "0.5"}, "#/ratio"),
        ({"ratio": 10**400}, "#/ratio"),
        ({"fresh": "true"}, "#/fresh"),
        ({"fresh": 1}, "#/fresh"),
        ({"name": 5}, "#/name"),
        ({"name": ""}, "#/name"),
        ({"name": "   "}, "#/name"),
        ({"name": "x" * 201}, "#/name"),
        ({"name": ["x"]}, "#/name"),
        ({"name": {"x": 1}}, "#/name"),
        ({"name": "a\0b"}, "#/name"),
        ({"name": "\ud800"}, "#/name"),
        ({"labels": {"a": "b\0"}}, "#/labels"),
        ({"labels": {"a\0": "b"}}, "#/labels"),
        ({"labels": {"a": "\udfff"}}, "#/labels/a"),
        ({"owner": "not a uuid"}, "#/owner"),
        ({"owner": 5}, "#/owner"),
        ({"items": {}}, "#/items"),
        ({"items": [{"sku": "a", "quantity": 1}] * 11}, "#/items"),
        ({"items": [{"sku": "a", "quantity": "1"}]}, "#/items/0/quantity"),
        ({"items": [{"sku": "a", "quantity": 1}, {"sku": "\0", "quantity": 1}]}, "#/items"),
        ({"items": [5]}, "#/items/0"),
        ({"unknown": 1}, "#/unknown"),
        ({"a/b~c": 1}, "#/a~1b~0c"),
        ({"": 1}, "#/"),
        ({"\0": 1}, "#/\0"),
        ({"x\r\nSet-Cookie: a=b": 1}, "#/x\r\nSet-Cookie: a=b"),
        ({"<script>": 1}, "#/<script>"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
async def test_wrong_values_are_422_and_pointed_to(
    client: httpx.AsyncClient, change: dict[str, Any], pointer: str
):
    answer = await post(client, json.dumps({"name": "a", **change}))
    assert [found for found in pointers(answer) if found.startswith(pointer)]


async def test_a_lone_surrogate_in_a_fields_name_is_422(client: httpx.AsyncClient):
    answer = await post(client, '{"name": "a", "\\ud800": 1}')
    problem(answer, 422, "validation-failed")


async def test_a_lone_surrogate_written_in_bytes_is_422(client: httpx.AsyncClient):
    assert pointers(await post(client, b'{"name": "\xed\xa0\x80"}')) == ["#/name"]


async def test_deep_nesting_that_is_json_is_422(client: httpx.AsyncClient):
    deep = "[" * 900 + "]" * 900
    assert pointers(await post(client, f'{{"name": {deep}}}')) == ["#/name"]
    assert "#/labels" in "".join(pointers(await post(client, f'{{"name": "a", "labels": {deep}}}')))


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE x; --",
        "a\r\nb",
        "<b>&",
        "{{7*7}}",
        "${jndi:x}",
        "\u202e",
        "\U0001f600" * 200,
        "\x7f",
    ],
)
async def test_hostile_texts_are_texts(client: httpx.AsyncClient, text: str):
    answer = await post(client, json.dumps({"name": text, "labels": {text: text}}))
    assert answer.status_code == 201
    assert answer.json()["name"] == text


@pytest.mark.parametrize("body", ["[]", "5", "null", '"text"', ""])
async def test_a_body_that_is_no_object_is_422(client: httpx.AsyncClient, body: str):
    assert pointers(await post(client, body)) == ["#"]


async def test_of_duplicate_keys_the_last_counts(client: httpx.AsyncClient):
    answer = await post(client, '{"name": "first", "name": "last"}')
    assert answer.json()["name"] == "last"


async def test_white_space_around_texts_is_cut(client: httpx.AsyncClient):
    assert (await post(client, '{"name": "  a "}')).json()["name"] == "a"


async def test_an_error_shows_no_value_that_was_sent(client: httpx.AsyncClient):
    answer = await post(client, json.dumps({"name": ["hunter2"], "count": "hunter2"}))
    assert pointers(answer) == ["#/name", "#/count"]
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "query",
    ["q=%00", "q=", "q=%ED%A0%80" * 300, "other=1", "q=a&q=b&x[y]=1"],
    ids=["NUL", "empty", "long", "unknown", "nested"],
)
async def test_wrong_parameters_are_422_and_named(client: httpx.AsyncClient, query: str):
    answer = await client.get(f"/api/v1/search?{query}")
    for error in problem(answer, 422, "validation-failed")["errors"]:
        assert error["parameter"] in {"q", "other", "x[y]"}
        assert "pointer" not in error


@pytest.mark.parametrize("path", ["5", "%00", "a%2Fb", "%ff", "x" * 3000, "%0d%0a"])
async def test_wrong_path_parameters_are_refused(client: httpx.AsyncClient, path: str):
    answer = await client.get(f"/api/v1/things/{path}")
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["[", "]:80", "a b", "\xff", "x" * 5000, "", "a:99999999"])
@pytest.mark.parametrize("path", ["/nothing", "/api/v1/baskets/", "/api/v1/broken"])
async def test_a_strange_host_changes_nothing(client: httpx.AsyncClient, host: str, path: str):
    headers = [(b"host", host.encode("latin-1"))]
    answer = await client.get(path, headers=headers)
    assert answer.status_code == (500 if "broken" in path else 404)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/baskets/", "//x", "/%3F%23", "/%C3%A9", "/a%20b"]
)
async def test_nothing_there_is_404(client: httpx.AsyncClient, path: str):
    problem(await client.get(path), 404, "not-found")


async def test_another_method_is_405_and_says_which(client: httpx.AsyncClient):
    answer = await client.delete(BASKETS)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
