"""No input causes a 5xx, and every refusal is a problem document."""

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
    """Assert what all problems have in common, and return the document."""
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


# Up to Python 3.12 the error is at the brace after a trailing comma, from 3.13 on at the comma.
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
        b'{"name": "a", "count": 1_0}',
        b'{"name": "a", "count": +1}',
        b'{"name": "a", "count": 01}',
        '{"name": "a", "count": \u0661}'.encode(),
    ],
    ids=[
        "UTF-8", "digits", "lists", "objects", "NaN", "Infinity", "NUL", "underscore", "plus",
        "zero", "Arabic",
    ],
)  # fmt: skip
async def test_what_is_no_json_is_400(client: httpx.AsyncClient, body: bytes):
    problem(await post(client, body), 400, "malformed-request")


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "byte order mark"])
@pytest.mark.parametrize(
    "encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "latin-1", "cp037"]
)
async def test_json_in_another_encoding_than_utf_8_is_400(
    client: httpx.AsyncClient, encoding: str, mark: str
):
    """Whatever the content type says: JSON between systems is UTF-8 (RFC 8259 §8.1)."""
    body = (mark + '{"name": "Zoë"}').encode(encoding, "ignore")
    headers = {"Content-Type": f"application/json; charset={encoding}"}
    answer = await client.post(BASKETS, content=body, headers=headers)
    problem(answer, 400, "malformed-request")


async def test_a_byte_order_mark_before_utf_8_is_ignored(client: httpx.AsyncClient):
    """A sender must not add one, but a parser may ignore it (RFC 8259 §8.1). PowerShell adds it."""
    answer = await post(client, '{"name": "Zoë"}'.encode("utf-8-sig"))
    assert answer.json()["name"] == "Zoë"


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
        ({"a %é?": 1}, "#/a%20%25%C3%A9?"),
        ({"": 1}, "#/"),
        ({"\0": 1}, "#/%00"),
        ({"x\r\nSet-Cookie: a=b": 1}, "#/x%0D%0ASet-Cookie:%20a=b"),
        ({"<script>": 1}, "#/%3Cscript%3E"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
async def test_wrong_values_are_422_and_pointed_to(
    client: httpx.AsyncClient, change: dict[str, Any], pointer: str
):
    answer = await post(client, json.dumps({"name": "a", **change}))
    assert [found for found in pointers(answer) if found.startswith(pointer)]


async def test_a_body_that_is_wrong_in_many_places_gets_the_first_hundred(
    client: httpx.AsyncClient,
):
    """To describe each of 100,000 would block the process for seconds."""
    body = json.dumps({"name": "a", **{f"unknown{n}": 1 for n in range(5000)}})
    document = problem(await post(client, body), 422, "validation-failed")
    assert len(document["errors"]) == 100
    assert document["detail"].endswith("See `errors` for the first 100 of 5000.")


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
    ["q=%00", "q=", "q=%ED%A0%80" * 300, "q=a&q=", "other=1", "q=a&q=b&x[y]=1"],
    ids=["NUL", "empty", "long", "the last is wrong", "unknown", "nested"],
)
async def test_wrong_parameters_are_422_and_named(client: httpx.AsyncClient, query: str):
    answer = await client.get(f"/api/v1/search?{query}")
    for error in problem(answer, 422, "validation-failed")["errors"]:
        assert error["parameter"] in {"q", "other", "x[y]"}
        assert "pointer" not in error


NO_INTEGERS = [
    "1_0", "%2B1", "+1", "%201", "1%20", "%091", "1%0A", "%C2%A01", "01", "-01", "1.0", "1.", "1e2",
    "0x1", "%D9%A1", "%EF%BC%91", "%E2%88%921", "NaN", "Infinity", "null", "true", "1%00", "1,2",
    "9" * 5000,
]  # fmt: skip
NO_NUMBERS = [
    "1_0.5", "%2B1.5", "%201.5", "01.5", ".5", "5.", "NaN", "nan", "inf", "-Infinity", "0x1p3",
    "%D9%A1.5",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("number", text) for text in [*NO_INTEGERS, ""]),
        *(("numbers", text) for text in [*NO_INTEGERS, ""]),
        *(("ratio", text) for text in [*NO_NUMBERS, ""]),
    ],
)
async def test_a_parameter_is_a_number_as_json_writes_it(
    client: httpx.AsyncClient, name: str, text: str
):
    answer = await client.get(f"/api/v1/search?numbers=1&{name}={text}")
    [error] = problem(answer, 422, "validation-failed")["errors"]
    assert error["parameter"] == name
    assert error["detail"]


@pytest.mark.parametrize("text", NO_INTEGERS)
async def test_a_part_of_a_path_is_an_integer_as_json_writes_it(
    client: httpx.AsyncClient, text: str
):
    answer = await client.get(f"/api/v1/numbers/{text}")
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == ["number"]


async def test_numbers_in_parameters_are_read(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/search?number=-7&numbers=0&numbers=12&ratio=1.5e-1")
    assert answer.json() == {"q": "x", "number": -7, "numbers": [0, 12], "ratio": 0.15}
    assert (await client.get("/api/v1/numbers/7")).json()["number"] == 7


async def test_of_a_parameter_that_comes_twice_the_last_counts(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/search?q=first&number=1&q=last&number=2")
    assert (answer.json()["q"], answer.json()["number"]) == ("last", 2)


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
async def test_a_path_that_no_route_has_is_404(client: httpx.AsyncClient, path: str):
    problem(await client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "value",
    [
        b"caf\xe9",
        b"\xff\\u12",  # not a Python escape, and a backslash at the end
        b"\xff\\",
        b"\xff\\ud800",
        b"\xff\\N{DIGIT ONE}",
        "é".encode() + b"\xff",
    ],
)
@pytest.mark.parametrize("name", ["User-Agent", "Cookie", "Accept-Language", "traceparent"])
async def test_bytes_beyond_ascii_in_a_header_change_nothing(
    client: httpx.AsyncClient, name: str, value: bytes
):
    answer = await client.get("/api/v1/search", headers=[(name.encode(), value)])
    assert answer.status_code == 200


async def test_another_method_is_405_and_says_which(client: httpx.AsyncClient):
    answer = await client.delete(BASKETS)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
