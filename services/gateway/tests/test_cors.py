import pytest

from gateway.methods import read_methods

PAGE = {"Origin": "https://shop.example"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
ASKED = ("Method", "Headers")
# What a page needs to call the API: tokens, retries, conditional requests, streams, traces, and the
# end of a version.
SENT = {"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"} | {
    "Last-Event-ID", "X-Request-ID", "traceparent", "tracestate",
}  # fmt: skip
READ = {"ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"} | {
    "WWW-Authenticate", "X-Request-ID", "Deprecation", "Sunset",
}  # fmt: skip
OFFERED = {method for methods in read_methods().values() for method in methods.split()} | {"HEAD"}


def words(answer, name):
    return {word.strip() for word in answer.headers[name].split(",")}


async def test_a_page_of_an_allowed_origin_may_read_responses(start):
    gateway = await start(cors_allow_origins=("https://shop.example",))
    for path in ("/api/v1/products", "/api/v1/orders", "/openapi.json"):
        answer = await gateway.http.get(path, headers=PAGE)
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert "Origin" in answer.headers["vary"]
        assert words(answer, "access-control-expose-headers") >= READ
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://shop.example.evil.example", "http://shop.example", "null"],
)
async def test_a_page_of_another_origin_may_not(start, service, origin):
    gateway = await start(cors_allow_origins=("https://shop.example",))
    other = {"Origin": origin}
    answer = await gateway.http.get("/api/v1/products", headers=other)
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" in answer.headers["vary"]
    answer = await gateway.http.options("/api/v1/orders", headers=other | PREFLIGHT)
    assert answer.status_code == 204
    assert not {name for name in answer.headers if name.startswith("access-control-")}
    assert words(answer, "vary") >= {"Origin", *map("Access-Control-Request-{}".format, ASKED)}
    assert len(service.requests) == 1


async def test_each_response_is_for_the_origin_of_its_request(start):
    origins = ("https://shop.example", "https://admin.example")
    gateway = await start(cors_allow_origins=origins)
    for origin in (*origins, *origins, "https://evil.example", None):
        headers = {} if origin is None else {"Origin": origin}
        answer = await gateway.http.get("/api/v1/products", headers=headers)
        allowed = origin if origin in origins else None
        assert answer.headers.get("access-control-allow-origin") == allowed


async def test_the_gateway_responds_to_a_preflight_without_a_token(start, service):
    gateway = await start(cors_allow_origins=("https://shop.example",))
    answer = await gateway.http.options("/api/v1/orders", headers=PAGE | PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert words(answer, "access-control-allow-methods") >= {"GET", "PATCH", "DELETE"}
    assert words(answer, "access-control-allow-headers") >= SENT
    assert answer.headers["access-control-max-age"] == "600"
    assert words(answer, "vary") >= {"Origin", *map("Access-Control-Request-{}".format, ASKED)}
    assert not service.requests


async def test_a_page_may_use_each_method_that_the_api_offers(start):
    gateway = await start(cors_allow_origins=("https://shop.example",))
    answer = await gateway.http.options("/api/v1/orders", headers=PAGE | PREFLIGHT)
    assert words(answer, "access-control-allow-methods") >= OFFERED


@pytest.mark.parametrize(("credentials", "allowed"), [(False, "*"), (True, "https://shop.example")])
async def test_any_origin_is_a_star_unless_cookies_come(start, credentials, allowed):
    gateway = await start(cors_allow_origins=("*",), cors_allow_credentials=credentials)
    answer = await gateway.http.get("/api/v1/products", headers=PAGE)
    assert answer.headers["access-control-allow-origin"] == allowed
    assert ("access-control-allow-credentials" in answer.headers) is credentials


async def test_without_a_list_no_page_may(gateway):
    answer = await gateway.http.get("/api/v1/products", headers=PAGE)
    assert "access-control-allow-origin" not in answer.headers
    assert "origin" not in answer.headers["vary"].lower()
