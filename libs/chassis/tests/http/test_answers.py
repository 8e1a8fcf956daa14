"""Every response has problem members, headers and a request id, whatever the route does."""

import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog
from fastapi import FastAPI
from opentelemetry import trace
from starlette.requests import Request
from structlog.testing import LogCapture

from chassis.errors import ReauthenticationNeeded
from chassis.http.problems import problem_of
from chassis.product import product
from testkit.tokens import TestTokens

MEBIBYTE = 1024 * 1024
JSON = {"Content-Type": "application/json"}


PART_OF_A_BODY = {"type": "http.request", "body": b'{"na', "more_body": True}


def post_scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


@pytest.fixture
def logged() -> Any:
    """Return the log lines, with the context that each line carries."""
    capture = LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.configure(processors=before)


async def test_a_domain_error_contains_all_its_details(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/sold-out", headers={"X-Request-ID": "abc"})
    assert answer.status_code == 409
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "type": f"{product().problem_base}out-of-stock",
        "title": "There is not enough of it.",
        "status": 409,
        "detail": "two are left",
        "instance": "/api/v1/sold-out",
        "request_id": "abc",
        "left": 2,
    }


async def test_a_rule_over_fields_points_to_each(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/rule")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"detail": "too long", "pointer": "#/a~1b"},
        {"detail": "no", "header": "X"},
    ]


async def test_waiting_is_measured_in_seconds(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/busy")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"


async def test_500_shows_nothing_of_the_cause_and_logs_it(
    client: httpx.AsyncClient, logged: list[dict[str, Any]]
):
    answer = await client.get("/api/v1/broken", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/internal-server-error")
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    [error] = [entry for entry in logged if entry["log_level"] == "error"]
    assert "hunter2" in str(error["exc_info"])
    assert error["request_id"] == "r-1"


@pytest.mark.parametrize("which", ["refused", "silent", "untrusted"])
async def test_a_third_party_that_fails_a_use_case_is_not_taken_for_our_database(
    client: httpx.AsyncClient, logged: list[dict[str, Any]], which: str
):
    answer = await client.get(f"/api/v1/third-party/{which}")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert [entry for entry in logged if entry["log_level"] == "error"]


async def test_an_unavailable_database_is_503_with_retry_after(
    client: httpx.AsyncClient, logged: list[dict[str, Any]]
):
    answer = await client.post("/api/v1/notes", json={"text": "a"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["type"].endswith("/unavailable")
    assert "127.0.0.1" not in answer.text
    assert not [entry for entry in logged if entry["log_level"] == "error"]


async def test_a_request_id_is_made(client: httpx.AsyncClient):
    first, second = [(await client.get("/api/v1/search")).headers["x-request-id"] for _ in "ab"]
    assert first != second


@pytest.mark.parametrize("given", ["abc", "A-1_b.c:d", "x" * 128])
async def test_a_harmless_request_id_is_kept(client: httpx.AsyncClient, given: str):
    answer = await client.get("/nothing", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", " ", "a b", "x" * 129, "a\x7f", "\xe9", '"', "a,b", "<a>"])
async def test_a_harmful_request_id_is_replaced(client: httpx.AsyncClient, given: str):
    answer = await client.get("/nothing", headers=[(b"x-request-id", given.encode("latin-1"))])
    assert answer.headers["x-request-id"] not in {given, ""}


async def test_one_line_is_logged_for_a_request(
    client: httpx.AsyncClient, logged: list[dict[str, Any]]
):
    await client.get("/api/v1/search?q=secret-query", headers={"X-Request-ID": "r-1"})
    [line] = logged
    assert line["event"] == "request ended"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/v1/search", 200)
    assert line["request_id"] == "r-1"
    assert line["milliseconds"] >= 0
    assert "secret-query" not in str(line)


async def test_the_line_of_a_request_has_its_route_and_its_caller(
    client: httpx.AsyncClient, logged: list[dict[str, Any]], tokens: TestTokens
):
    user = uuid4()
    bearer = {"Authorization": f"Bearer {tokens.token(subject=user)}"}
    await client.get("/api/v1/me", headers=bearer)
    await client.get("/api/v1/me")
    await client.get("/no/ada@mail.example")
    known, unknown, nowhere = logged
    assert (known["route"], known["user_id"]) == ("/api/v1/me", str(user))
    assert (unknown["route"], unknown["status"]) == ("/api/v1/me", 401)
    assert "user_id" not in unknown
    assert (nowhere["route"], nowhere["path"]) == ("unmatched", "/no/[redacted]")


async def test_the_line_of_a_request_is_logged_inside_its_trace(client: httpx.AsyncClient):
    """So the line carries the trace's id, whoever started the trace."""
    seen: list[str] = []

    def look(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        context = trace.get_current_span().get_span_context()
        seen.append(trace.format_trace_id(context.trace_id))
        return event

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[look, *before])
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    try:
        await client.get("/nothing", headers=headers)
    finally:
        structlog.configure(processors=before)
    assert seen == [trace_id]


@pytest.mark.parametrize("size", [MEBIBYTE + 1, 10**30])
async def test_a_body_declared_too_large_is_413(client: httpx.AsyncClient, size: int):
    headers = {**JSON, "Content-Length": str(size)}
    answer = await client.post("/api/v1/baskets", content=b"{}", headers=headers)
    assert answer.status_code == 413
    assert answer.json()["type"].endswith("/content-too-large")
    assert answer.headers["connection"] == "close"


async def endless() -> AsyncIterator[bytes]:
    for _ in range(20):
        yield b" " * 100_000


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/api/v1/baskets", "application/json"),
        ("/api/v1/grants", "application/x-www-form-urlencoded"),
        ("/api/v1/upload", "text/plain"),
    ],
)
async def test_a_body_that_turns_out_too_large_is_413(
    client: httpx.AsyncClient, logged: list[dict[str, Any]], path: str, content_type: str
):
    answer = await client.post(path, content=endless(), headers={"Content-Type": content_type})
    assert answer.status_code == 413, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert [entry["log_level"] for entry in logged] == ["info"]


async def test_a_body_of_just_the_limit_is_taken(client: httpx.AsyncClient):
    body = b'{"name": "a"}'.ljust(MEBIBYTE)
    answer = await client.post("/api/v1/baskets", content=body, headers=JSON)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "multipart/form-data; boundary=a", "", "é", "application/"],
)
async def test_another_content_type_is_415_and_says_which(
    client: httpx.AsyncClient, content_type: str
):
    headers = [(b"content-type", content_type.encode("latin-1"))]
    answer = await client.post("/api/v1/baskets", content=b'{"name": "a"}', headers=headers)
    assert answer.status_code == 415
    assert answer.headers["accept"] == "application/json"
    answer = await client.post("/api/v1/grants", content=b"{}", headers=JSON)
    assert answer.status_code == 415
    assert answer.headers["accept"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json;"]
)
async def test_other_content_types_of_json_are_accepted(
    client: httpx.AsyncClient, content_type: str
):
    headers = {"Content-Type": content_type}
    answer = await client.post("/api/v1/baskets", content=b'{"name": "a"}', headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "GZIP"])
async def test_an_encoded_body_is_415(client: httpx.AsyncClient, encoding: str):
    headers = {**JSON, "Content-Encoding": encoding}
    answer = await client.post("/api/v1/baskets", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert "Content-Encoding" in answer.json()["detail"]


async def test_a_form_is_checked_as_a_body(client: httpx.AsyncClient):
    good = {"grant_type": "refresh_token", "refresh_token": "x"}
    assert (await client.post("/api/v1/grants", data=good)).json() == good
    for bad in ({"grant_type": "a"}, {**good, "other": "1"}, {**good, "grant_type": "\0"}):
        answer = await client.post("/api/v1/grants", data=bad)
        assert answer.status_code == 422, bad
        assert answer.json()["errors"][0]["pointer"].startswith("#/")


@pytest.mark.parametrize("body", [b"%", b"a=%ff&=", b"&" * 5000, b"\0=\0", b"grant_type=" * 2000])
async def test_a_strange_form_is_refused(client: httpx.AsyncClient, body: bytes):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/api/v1/grants", content=body, headers=headers)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "value", [None, "Basic YTpi", "Bearer", "Bearer ", "Bearer x", "Bearer \xe9", "x", "Bearer a b"]
)
async def test_no_valid_token_is_401_and_says_how_to_authenticate(
    client: httpx.AsyncClient, value: str | None
):
    headers = [] if value is None else [(b"authorization", value.encode("latin-1"))]
    answer = await client.get("/api/v1/me", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["type"].endswith("/unauthenticated")
    wanted = "Bearer" if value is None else 'Bearer error="invalid_token"'
    assert answer.headers["www-authenticate"] == wanted


async def test_a_missing_scope_is_403_and_named(client: httpx.AsyncClient, tokens: TestTokens):
    answer = await client.get("/api/v1/admin", headers=tokens.headers(scopes=["a:read"]))
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("/insufficient-scope")
    assert answer.json()["scope"] == "a:read a:write"
    assert "insufficient_scope" in answer.headers["www-authenticate"]
    good = await client.get("/api/v1/admin", headers=tokens.headers(scopes=["a:read", "a:write"]))
    assert good.status_code == 200


def test_a_log_in_that_is_too_old_is_401_with_the_challenge_of_rfc_9470():
    scope = {"type": "http", "path": "/api/v1/me", "headers": [(b"authorization", b"Bearer x")]}
    answer = problem_of(Request(scope), ReauthenticationNeeded(max_age=300))
    assert answer.status_code == 401
    assert json.loads(bytes(answer.body))["max_age"] == 300
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    assert answer.headers["www-authenticate"] == challenge


async def test_a_client_that_leaves_in_mid_body_is_no_error(
    client: httpx.AsyncClient, app: FastAPI, logged: list[dict[str, Any]]
):
    await client.get("/nothing")  # its app has started
    for path in ("/api/v1/baskets", "/api/v1/upload"):
        messages = iter([PART_OF_A_BODY, {"type": "http.disconnect"}])

        async def receive(messages: Any = messages) -> MutableMapping[str, Any]:
            return next(messages)

        async def send(message: MutableMapping[str, Any]) -> None:
            """A `send` that discards messages."""

        await app(post_scope(path), receive, send)
    assert [line["log_level"] for line in logged] == ["info"] * 3


async def test_every_response_of_the_chassis_is_documented(client: httpx.AsyncClient):
    document = (await client.get("/openapi.json")).json()
    paths = document["paths"]

    def statuses(path: str, method: str) -> set[str]:
        responses = paths[path][method]["responses"]
        for status, response in responses.items():
            if status >= "400":
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
        return set(responses)

    assert statuses("/api/v1/baskets", "post") == {"201", "400", "413", "415", "422", "503"}
    assert statuses("/api/v1/grants", "post") == {"200", "400", "413", "415", "422", "503"}
    assert statuses("/api/v1/search", "get") == {"200", "422", "503"}
    assert statuses("/api/v1/sold-out", "get") == {"200", "409", "503"}
    assert statuses("/api/v1/admin", "get") == {"200", "401", "403", "503"}
    assert "out-of-stock" in json.dumps(paths["/api/v1/sold-out"])
    assert "HTTPValidationError" not in json.dumps(document)
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {
        "type", "title", "status", "detail", "instance", "request_id",
    }  # fmt: skip
    assert document["components"]["schemas"]["Basket"]["additionalProperties"] is False
