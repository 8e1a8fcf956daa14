import re

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
            "/exports/me": {"get": {"operationId": "export", "responses": {}}},
        },
        "components": {"schemas": {"Thing": shape or {"type": "object"}}},
    }


REFERENCE = {"$ref": "#/components/schemas/Thing"}


async def test_one_document_holds_what_can_be_reached(start, service):
    gateway = await start()
    service.documents = document()
    answer = await gateway.http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    merged = answer.json()
    assert set(merged["paths"]) == {"/api/v1/products", "/api/v1/users/me"}
    assert merged["components"]["schemas"]["Thing"] == {"type": "object"}


async def test_the_gateways_own_answers_are_documented(start, service):
    gateway = await start()
    service.documents = document()
    paths = (await gateway.http.get("/openapi.json")).json()["paths"]
    public = paths["/api/v1/products"]["get"]["responses"]
    assert {"200", "400", "413", "414", "429", "431", "502", "503", "504"} <= set(public)
    assert "401" not in public
    assert "401" in paths["/api/v1/users/me"]["get"]["responses"]


async def test_the_document_is_kept_for_a_while(start, service):
    gateway = await start()
    service.documents = document()
    first = await gateway.http.get("/openapi.json")
    service.documents = document("renamed")
    assert (await gateway.http.get("/openapi.json")).content == first.content
    assert service.asked_documents == 3


async def test_half_a_document_is_none(start, service, assert_problem):
    service.documents = document()
    gateway = await start(users_url=NOWHERE)
    answer = await gateway.http.get("/openapi.json")
    assert "users" in assert_problem(answer, 503, "unavailable")["detail"]
    assert int(answer.headers["retry-after"]) >= 1


def test_components_of_one_name_and_two_shapes_are_told_apart():
    from gateway.merging import merged  # noqa: PLC0415 - one test's
    from gateway.routes import Auth, Route, RouteTable  # noqa: PLC0415 - likewise

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


async def test_the_page_allows_its_own_script_and_no_other(gateway):
    answer = await gateway.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]+'", policy)) == 2
    assert "unsafe" not in policy
    assert "http://" not in answer.text
    assert "https://" not in answer.text


async def test_the_events_are_served_as_they_are_committed(gateway):
    answer = await gateway.http.get("/asyncapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["asyncapi"] == "3.0.0"
    assert "order.placed.v1" in document["channels"]["slipway.orders"]["messages"]


async def test_the_own_routes_refuse_other_methods(gateway, assert_problem):
    assert_problem(await gateway.http.post("/docs"), 405, "method-not-allowed")
