import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway.routes import ROUTES, RouteTable

NOWHERE = "http://127.0.0.1:1"


def document(operation_id="listProducts", *, shape=None):
    answer = {"description": "ok", "content": {"application/json": {"schema": REFERENCE}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "paths": {
            "/api/v1/products": {
                "get": {"operationId": operation_id, "responses": {"200": answer}}
            },
            "/api/v1/users/me": {"get": {"operationId": "readMe", "responses": {}}},
            "/exports/me": {
                "get": {
                    "operationId": "export",
                    "security": [{"accessToken": ["things"]}],
                    "responses": {"200": answer, "409": {"description": "too large"}},
                }
            },
        },
        "components": {"schemas": {"Thing": shape or {"type": "object"}}},
    }


EXPORT = "/api/v1/users/me/export"
REFERENCE = {"$ref": "#/components/schemas/Thing"}


async def test_one_document_holds_what_can_be_reached(start, service):
    gateway = await start()
    service.documents = document()
    answer = await gateway.http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    merged = answer.json()
    assert set(merged["paths"]) == {"/api/v1/products", "/api/v1/users/me", EXPORT}
    assert merged["components"]["schemas"]["Thing"] == {"type": "object"}


async def test_an_export_is_documented_by_the_parts_of_all_services(start, service):
    gateway = await start()
    service.documents = document()
    export = (await gateway.http.get("/openapi.json")).json()["paths"][EXPORT]["get"]
    schema = export["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["properties"] == dict.fromkeys(("users", "orders", "notifications"), REFERENCE)
    assert set(schema["required"]) == schema["properties"].keys()
    assert export["security"] == [{"accessToken": ["things"]}]
    assert {"401", "409", "429", "503"} <= export["responses"].keys()


async def test_the_gateways_own_responses_are_documented(start, service):
    gateway = await start()
    service.documents = document()
    paths = (await gateway.http.get("/openapi.json")).json()["paths"]
    public = paths["/api/v1/products"]["get"]["responses"]
    assert {"200", "400", "413", "414", "429", "431", "502", "503", "504"} <= set(public)
    assert "401" not in public
    assert "401" in paths["/api/v1/users/me"]["get"]["responses"]


def test_each_operation_names_the_limit_of_its_body_and_whether_its_form_is_negotiated():
    whole = json.loads((Path(__file__).parents[1] / "openapi.json").read_text(encoding="utf-8"))
    table = RouteTable(ROUTES)
    operations = [
        (table.find(method.upper(), path), operation["responses"])
        for path, item in whole["paths"].items()
        for method, operation in item.items()
    ]
    for route, responses in operations:
        assert route is not None
        limit = {16 * 1024: "16 KiB", 1024 * 1024: "1 MiB"}[route.max_body_bytes]
        assert responses["413"]["description"] == f"The body is larger than {limit}."
        negotiated = route.represented and not route.stream and route.parts is None
        assert ("406" in responses) == negotiated, route.prefix


def test_each_operation_names_the_gateways_refusals_beside_those_of_its_service():
    whole = json.loads((Path(__file__).parents[1] / "openapi.json").read_text(encoding="utf-8"))
    for item in whole["paths"].values():
        for operation in item.values():
            responses, name = operation["responses"], operation["operationId"]
            assert "`too-many-requests`" in responses["429"]["description"], name
            assert "its headers can't be read" in responses["400"]["description"], name
            for status in ("400", "429"):
                assert "application/problem+json" in responses[status]["content"], name


async def test_the_document_is_kept_for_a_while(start, service):
    gateway = await start()
    service.documents = document()
    first = await gateway.http.get("/openapi.json")
    service.documents = document("renamed")
    assert (await gateway.http.get("/openapi.json")).content == first.content
    assert service.asked_documents == 3


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
async def test_a_document_that_the_caller_has_is_not_sent_again(start, service, path):
    gateway = await start()
    service.documents = document()
    first = await gateway.http.get(path)
    known = await gateway.http.get(
        path, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'}
    )
    other = await gateway.http.get(path, headers={"If-None-Match": '"x"'})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == first.headers["etag"]
    assert (other.status_code, other.content) == (200, first.content)


async def test_a_document_that_changed_has_another_tag(start, service):
    tags = set()
    for name in ("listProducts", "renamed"):
        gateway = await start()
        service.documents = document(name)
        tags.add((await gateway.http.get("/openapi.json")).headers["etag"])
    assert len(tags) == 2


async def test_an_incomplete_document_is_503(start, service, assert_problem):
    service.documents = document()
    gateway = await start(users_url=NOWHERE)
    answer = await gateway.http.get("/openapi.json")
    assert "users" in assert_problem(answer, 503, "unavailable")["detail"]
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{}",
        b'{"openapi": "3.1.0"}',
        b'{"openapi": "3.0.3", "paths": {}}',
        b'{"openapi": "3.1.0", "paths": []}',
        b'{"openapi": "3.1.0", "paths": {"/api/v1/products": 5}}',
        b'{"openapi": "3.1.0", "paths": {"/api/v1/products": {"get": null}}}',
        b'{"openapi": "3.1.0", "paths": {"/api/v1/products": {"get": {}, "post": 5}}}',
        b'{"openapi": "3.1.0", "paths": {"/api/v1/products": {"get": {"responses": []}}}}',
        b'{"openapi": "3.1.0", "paths": {"/api/v1/products": {"get": {"operationId": [1]}}}}',
        b'{"openapi": "3.1.0", "paths": {"/exports/me": {"get": {"responses": {"200": 5}}}}}',
        b'{"openapi": "3.1.0", "paths": {"/exports/me": {"get": {"security": [5]}}}}',
        b'{"openapi": "3.1.0", "paths": {}, "components": []}',
        b'{"openapi": "3.1.0", "paths": {}, "components": {"schemas": []}}',
        b'{"openapi": "3.1.0", "paths": {}, "x": \xff}',
        b'{"openapi": "3.1.0", "paths": {}, "x": NaN}',
        b'{"openapi": "3.1.0", "paths": {}, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        '{"openapi": "3.1.0", "paths": {}}'.encode("utf-16"),
    ],
    ids=range(23),
)
async def test_garbage_with_status_200_is_no_document(start, service, text, assert_problem):
    gateway = await start()
    service.documents = text
    answer = await gateway.http.get("/openapi.json")
    assert (
        "returned no valid OpenAPI document" in assert_problem(answer, 503, "unavailable")["detail"]
    )
    service.documents = document()
    assert (await gateway.http.get("/openapi.json")).status_code == 200, "it is asked for again"


def test_components_of_one_name_and_two_shapes_are_distinguished():
    from gateway.merging import merged  # noqa: PLC0415 - one test's
    from gateway.routes import Auth, Route  # noqa: PLC0415 - likewise

    table = RouteTable(
        [
            Route(prefix="/a", service="one", auth=Auth.PUBLIC),
            Route(prefix="/b", service="two", auth=Auth.PUBLIC),
        ]
    )
    one, two = document("same"), document("same", shape={"type": "array", "items": REFERENCE})
    one["paths"] = {"/a": one["paths"]["/api/v1/products"]}
    two["paths"] = {"/b": two["paths"]["/api/v1/products"]}
    whole = merged({"one": one, "two": two}, table)
    renamed = {"$ref": "#/components/schemas/two.Thing"}
    schemas = whole["components"]["schemas"]
    assert schemas == {
        "Thing": {"type": "object"},
        "two.Thing": {"type": "array", "items": renamed},
    }
    get = whole["paths"]["/b"]["get"]
    assert get["responses"]["200"]["content"]["application/json"]["schema"] == renamed
    assert get["operationId"] == "two.same"
    assert whole["paths"]["/a"]["get"]["operationId"] == "same"


PAGES = pytest.mark.parametrize("path", ["/docs", "/graphiql"])


@PAGES
async def test_a_page_allows_its_own_script_and_no_other(gateway, path):
    answer = await gateway.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]+'", policy)) == 2
    assert "unsafe" not in policy
    assert "http://" not in answer.text
    assert "https://" not in answer.text


class Sources(HTMLParser):
    """The addresses that a page names: its own files, and its links."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        del tag
        self.found += [value for name, value in attrs if name in {"src", "href", "data", "action"}]


@pytest.mark.parametrize(
    ("path", "addresses"), [("/docs", ["/openapi.json"]), ("/graphiql", ["/graphql"])]
)
async def test_all_that_a_page_needs_is_served_by_the_gateway(start, service, path, addresses):
    """A page works without the internet: it names nothing that another host serves."""
    gateway = await start()
    service.documents = document()
    page = await gateway.http.get(path)
    sources = Sources()
    sources.feed(page.text)
    fetched = re.findall(r"""(?:fetch|import|url)\(["']([^"']+)""", page.text)
    assert fetched == addresses
    for address in {*sources.found, *fetched}:
        assert address.startswith("/")
        assert not address.startswith("//")
        query = {"query": "{ __typename }"} if address == "/graphql" else {}
        assert (await gateway.http.get(address, params=query)).status_code == 200, address
    assert "connect-src 'self'" in page.headers["content-security-policy"]


async def test_the_graphql_page_is_there_where_the_schema_may_be_read(start, assert_problem):
    gateway = await start(graphql_introspection="off")
    assert_problem(await gateway.http.get("/graphiql"), 404, "not-found")


async def test_the_page_that_a_browser_has_is_not_sent_again(gateway):
    first = await gateway.http.get("/docs")
    again = await gateway.http.get("/docs", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_events_are_served_as_they_are_committed(gateway):
    answer = await gateway.http.get("/asyncapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["asyncapi"] == "3.0.0"
    assert "order.placed.v1" in document["channels"]["slipway.orders"]["messages"]


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/asyncapi.json"])
async def test_the_own_routes_refuse_other_methods(gateway, path, assert_problem):
    answer = await gateway.http.post(path)
    assert_problem(answer, 405, "method-not-allowed")
    assert {"GET", "HEAD"} <= set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/asyncapi.json", "/nothing"])
async def test_the_own_routes_offer_head(start, service, path):
    gateway = await start()
    service.documents = document()
    got, head = [await gateway.http.request(method, path) for method in ("GET", "HEAD")]
    assert head.content == b""
    assert head.status_code == got.status_code
    for name in got.headers.keys() - {"date", "x-request-id"}:
        assert head.headers[name] == got.headers[name]
