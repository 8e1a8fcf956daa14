"""GraphQL over HTTP: media types, methods, parameters, callers and batches."""

import asyncio
import json

import pytest
from pydantic import SecretStr

from testkit.waiting import until

from .conftest import HANG, PROBLEM

URL = "/graphql"
RESPONSE = "application/graphql-response+json"
TYPENAME = {"query": "{ __typename }"}


async def post(gateway, body=None, **options):
    return await gateway.http.post(URL, json=TYPENAME if body is None else body, **options)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}, application/json;q=0.9", RESPONSE),
        (f"application/json, {RESPONSE};q=0.9", "application/json"),
        (f"{RESPONSE};q=0, */*;q=0.1", "application/json"),
        (f"text/html, {RESPONSE.upper()}; charset=utf-8", RESPONSE),
    ],
)
async def test_the_response_has_the_type_that_the_client_likes_best(gateway_of_graph, accept, kind):
    request = gateway_of_graph.http.build_request("POST", URL, json=TYPENAME)
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    answer = await gateway_of_graph.http.send(request)
    assert (answer.status_code, answer.json()) == (200, {"data": {"__typename": "Query"}})
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


async def test_operations_are_counted_under_their_route(gateway_of_graph):
    await post(gateway_of_graph)
    await gateway_of_graph.http.put(URL)
    for method, status in (("POST", "200"), ("PUT", "405")):
        labels = {"method": method, "route": URL, "status": status}
        name = "http_server_request_duration_seconds_count"
        await until(lambda: gateway_of_graph.metric(name, **labels) == 1)  # noqa: B023 - awaited here


async def test_a_client_that_accepts_none_of_them_gets_406(gateway_of_graph, assert_problem):
    answer = await post(gateway_of_graph, headers={"Accept": "text/html, application/json;q=0"})
    assert_problem(answer, 406, "not-acceptable")


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=latin-1",
    ],
)
async def test_what_a_page_of_another_origin_can_send_without_asking_is_415(
    gateway_of_graph, assert_problem, kind
):
    headers = {} if kind is None else {"Content-Type": kind}
    content = json.dumps(TYPENAME).encode()
    answer = await gateway_of_graph.http.post(URL, content=content, headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


async def test_a_cookie_is_no_credential(gateway_of_graph, system, bearer):
    cookie = {"Cookie": f"__Host-refresh={bearer['Authorization']}"}
    await post(gateway_of_graph, {"query": "{ me { id } }"}, headers=cookie)
    assert not {"cookie", "authorization"} & system.calls[0].headers.keys()


async def test_queries_can_be_sent_with_get_and_mutations_can_not(
    gateway_of_graph, assert_problem, system, bearer
):
    query = {
        "query": "query A($first: Int!) { products(first: $first) { nodes { id } } } query B { me { id } }",  # noqa: E501 - one document
        "operationName": "A",
        "variables": '{"first": 3}',
    }
    answer = await gateway_of_graph.http.get(URL, params=query)
    assert "errors" not in answer.json()
    assert system.calls[0].query["limit"] == ["3"]
    mutation = {"query": "mutation { markAllNotificationsRead }"}
    refused = await gateway_of_graph.http.get(URL, params=mutation, headers=bearer)
    assert_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "POST"
    assert len(system.calls) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_405(gateway_of_graph, assert_problem, method):
    answer = await gateway_of_graph.http.request(method, URL, json=TYPENAME)
    assert_problem(answer, 405, "method-not-allowed")
    options = await gateway_of_graph.http.options(URL)
    assert options.headers["allow"] == answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'"x"',
        b"3",
        b"{}",
        b'{"query": ""}',
        b'{"query": 3}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "operationName": 1}',
        b'{"query": "{ __typename }", "extensions": "x"}',
        b'{"query": "\xff"}',
        b"[" * 2000,
    ],
)
async def test_parameters_that_can_not_be_read_are_400_for_all(gateway_of_graph, content):
    for accept in (RESPONSE, "application/json"):
        answer = await gateway_of_graph.http.post(
            URL, content=content, headers={"Content-Type": "application/json", "Accept": accept}
        )
        assert answer.status_code == 400
        assert answer.json().keys() == {"errors"}
        extensions = answer.json()["errors"][0]["extensions"]
        assert extensions["type"] == f"{PROBLEM}malformed-request"
        assert extensions["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "body",
    [
        {"query": "{"},
        {"query": "{ nothing }"},
        {"query": "query A { __typename } query B { __typename }"},
        {"query": "{ __typename }", "operationName": "B"},
        {"query": "query($id: ID!) { product(id: $id) { id } }"},
        {
            "query": "query($at: DateTime) { orders(createdAfter: $at) { nodes { id } } }",
            "variables": {"at": "yesterday"},
        },
        {"query": '{ __typename @include(if: "\\ud800") }'},
        {"query": "fragment f on Query { ...f } { ...f }"},
    ],
)
async def test_a_document_that_is_not_valid_is_refused_without_data(gateway_of_graph, body):
    strict = await post(gateway_of_graph, body, headers={"Accept": RESPONSE})
    older = await post(gateway_of_graph, body, headers={"Accept": "application/json"})
    assert (strict.status_code, older.status_code) == (400, 200)
    for answer in (strict, older):
        assert answer.json().keys() == {"errors"}
        assert all(error["extensions"]["status"] == 400 for error in answer.json()["errors"])


async def test_an_invalid_token_is_401_before_anything_is_read(
    gateway_of_graph, assert_problem, system
):
    headers = {"Authorization": "Bearer x.y.z"}
    answer = await post(gateway_of_graph, {"query": "{ me { id } }"}, headers=headers)
    assert_problem(answer, 401, "unauthenticated")
    assert system.calls == []


async def test_operations_have_a_limit_of_their_own_for_each_user(
    graph, valkey, tokens, assert_problem
):
    gateway = await graph(
        valkey_url=SecretStr(valkey.url), slipway_limits="on", limit_graphql="1/minute"
    )
    ada, bob = tokens.headers(), tokens.headers()
    first = await post(gateway, headers=ada)
    assert first.headers["ratelimit-policy"] == '"graphql";q=1;w=60'
    assert_problem(await post(gateway, headers=ada), 429, "too-many-requests")
    assert (await post(gateway, headers=bob)).status_code == 200


async def test_an_array_of_a_few_queries_shares_what_they_read(gateway_of_graph, system, bearer):
    both = [{"query": "{ me { id } }"}, {"query": "{ me { email } unreadCount }"}]
    answer = await post(gateway_of_graph, both, headers=bearer)
    assert [one["data"].keys() for one in answer.json()] == [{"me"}, {"me", "unreadCount"}]
    assert system.paths().count("/api/v1/users/me") == 1


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        ([], "graphql-limit-exceeded"),
        ([TYPENAME] * 6, "graphql-limit-exceeded"),
        ([TYPENAME, {"query": "mutation { markAllNotificationsRead }"}], "malformed-request"),
        (
            [{"query": "{ orders(first: 100) { nodes { items { name total { amount } } } } }"}] * 5,
            "graphql-limit-exceeded",
        ),
        ([TYPENAME, 3], "malformed-request"),
    ],
)
async def test_other_arrays_are_refused_as_a_whole(gateway_of_graph, system, batch, kind):
    answer = await post(gateway_of_graph, batch)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["type"] == PROBLEM + kind
    assert system.calls == []


async def test_arrays_can_be_switched_off(graph):
    answer = await post(await graph(graphql_batch=1), [TYPENAME])
    assert answer.json()["errors"][0]["extensions"]["limit"] == "batch"


async def test_a_body_has_a_limit(graph, assert_problem):
    gateway = await graph(graphql_body_bytes=1024)
    answer = await post(gateway, {"query": "{ __typename }" + " " * 1024})
    assert_problem(answer, 413, "content-too-large")


async def test_the_calls_of_a_client_that_left_are_given_up(gateway_of_graph, system, bearer):
    system.answers["GET", "/api/v1/users/me"] = HANG
    asking = asyncio.create_task(post(gateway_of_graph, {"query": "{ me { id } }"}, headers=bearer))
    await until(lambda: len(system.calls) == 1)
    asking.cancel()
    await asyncio.wait([asking])
    async with asyncio.timeout(5):
        await system.disconnected.wait()
