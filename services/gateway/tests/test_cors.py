import pytest

PAGE = {"Origin": "https://shop.example"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}


async def test_a_page_of_an_allowed_origin_may_read_responses(start):
    gateway = await start(cors_allow_origins=("https://shop.example",))
    for path in ("/api/v1/products", "/api/v1/orders", "/openapi.json"):
        answer = await gateway.http.get(path, headers=PAGE)
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert "Origin" in answer.headers["vary"]
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_of_another_origin_may_not(start, service):
    gateway = await start(cors_allow_origins=("https://shop.example",))
    other = {"Origin": "https://evil.example"}
    answer = await gateway.http.get("/api/v1/products", headers=other)
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" in answer.headers["vary"]
    answer = await gateway.http.options("/api/v1/orders", headers=other | PREFLIGHT)
    assert answer.status_code == 204
    assert "access-control-allow-origin" not in answer.headers
    assert len(service.requests) == 1


async def test_the_gateway_responds_to_a_preflight_without_a_token(start, service):
    gateway = await start(cors_allow_origins=("https://shop.example",))
    answer = await gateway.http.options("/api/v1/orders", headers=PAGE | PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert not service.requests


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
