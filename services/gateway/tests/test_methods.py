"""The methods of a path: 405 before 401, OPTIONS for everybody, and 401 for unknown paths."""

import json
from pathlib import Path

import pytest

from chassis.wire_names import MERGE_PATCH
from gateway.methods import Methods, offered_methods, read_methods
from gateway.routes import ROUTES, RouteTable

METHODS = Methods(
    {
        "/a": "GET POST",
        "/a/me": "GET",
        "/a/{id}": "GET DELETE",
        "/a/{id}/b": "POST",
    }
)
DOCUMENT = Path(__file__).parents[1] / "openapi.json"
OFFERED = read_methods()


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/a", "GET HEAD POST OPTIONS"),
        ("/a/me", "GET HEAD DELETE OPTIONS"),  # like the router, which tries both
        ("/a/7", "GET HEAD DELETE OPTIONS"),
        ("/a/%20;x", "GET HEAD DELETE OPTIONS"),
        ("/a/7/b", "POST OPTIONS"),
        ("/a/", ""),
        ("/a//b", ""),
        ("/a/7/b/", ""),
        ("/a/7/c", ""),
        ("/A", ""),
        ("/%61", ""),
        ("", ""),
        ("*", ""),
    ],
)
def test_a_path_offers_what_any_template_that_fits_does(path, methods):
    assert " ".join(METHODS.of(path)) == methods


def test_the_file_holds_what_the_document_does():
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    assert offered_methods(document["paths"]) == OFFERED
    assert all(OFFERED.values())


def test_each_change_in_parts_is_a_merge_patch_as_accept_patch_says():
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    bodies = [
        item["patch"]["requestBody"] for item in document["paths"].values() if "patch" in item
    ]
    assert bodies
    assert {kind for body in bodies for kind in body["content"]} == {MERGE_PATCH}


def test_each_method_has_a_route():
    table = RouteTable(ROUTES)
    for path in OFFERED:
        for method in Methods(OFFERED).of(path):
            assert table.find(method, path) is not None, (method, path)


@pytest.fixture
def credentials(bearer, request):
    return {
        "none": {},
        "bad": {"Authorization": "Bearer x.y.z"},
        "other": {"Authorization": "Basic eDp5"},
        "good": bearer,
    }[request.param]


@pytest.mark.parametrize("credentials", ["none", "bad", "other"], indirect=True)
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/v1/products", "GET, HEAD, POST, OPTIONS"),
        ("PUT", "/api/v1/products/1", "GET, HEAD, PATCH, OPTIONS"),
        ("DELETE", "/api/v1/orders/1", "GET, HEAD, OPTIONS"),
        ("TRACE", "/api/v1/orders", "GET, HEAD, POST, OPTIONS"),
        ("GET", "/api/v1/auth/login", "POST, OPTIONS"),
        ("HEAD", "/api/v1/auth/token", "POST, OPTIONS"),
        ("POST", "/.well-known/jwks.json", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/api/v1/notifications", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_method_that_is_not_offered_is_405_whoever_asks(
    gateway, service, credentials, method, path, allow
):
    answer = await gateway.http.request(method, path, headers=credentials)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert answer.headers.get("accept-patch") == (MERGE_PATCH if "PATCH" in allow else None)
    assert "www-authenticate" not in answer.headers
    if method != "HEAD":
        assert answer.json()["type"].endswith("/method-not-allowed")
        assert method in answer.json()["detail"]
    assert not service.requests


async def test_with_a_valid_token_the_service_responds_with_405(gateway, service, bearer):
    answer = await gateway.http.put("/api/v1/products?status=405&allow=GET,POST", headers=bearer)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET,POST, OPTIONS"
    assert len(service.requests) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/orders/1/secret",
        "/api/v1/auth/sessions/1/2",
        "/api/v1/users/1/2",
        "/api/v1/orders/",
    ],
)
async def test_an_unknown_path_reveals_nothing_without_a_token(gateway, service, method, path):
    answer = await gateway.http.request(method, path)
    assert answer.status_code == 401
    assert "allow" not in answer.headers
    assert not service.requests


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_head_is_offered_wherever_get_is(gateway, service, bearer, method):
    offered = {path for path, methods in OFFERED.items() if "GET" in methods.split()}
    for path in offered - {"/api/v1/users/me/export"}:  # no service gets its HEAD: see test_exports
        answer = await gateway.http.request(
            method, path.replace("{", "").replace("}", ""), headers=bearer
        )
        assert answer.status_code == 200, path
        assert service.last.method == method
        assert bool(answer.content) == (method == "GET")


@pytest.mark.parametrize("credentials", ["none", "bad", "good"], indirect=True)
@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/v1/orders", "GET, HEAD, POST, OPTIONS"),
        ("/api/v1/auth/login", "POST, OPTIONS"),
        ("/api/v1/products/1", "GET, HEAD, PATCH, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_names_the_methods(gateway, service, credentials, path, allow):
    answer = await gateway.http.options(path, headers=credentials)
    assert answer.status_code == 204
    assert answer.headers["allow"] == allow
    assert answer.headers.get("accept-patch") == (MERGE_PATCH if "PATCH" in allow else None)
    assert answer.headers["x-request-id"]
    assert not service.requests


async def test_options_of_an_unknown_path_goes_the_usual_way(gateway, service, bearer):
    assert (await gateway.http.options("/nothing")).status_code == 404
    await gateway.http.options("/api/v1/orders/1/secret", headers=bearer)
    assert service.last.method == "OPTIONS"
