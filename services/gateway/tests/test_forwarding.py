import asyncio
import secrets

import pytest

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_a_request_reaches_the_service_as_it_was_sent(gateway, service, bearer):
    body = secrets.token_bytes(1000)
    path = "/api/v1/orders/a%20b;c=1/%C3%A9"
    answer = await gateway.http.post(
        f"{path}?q=%2F..%2f&q=+x", content=body, headers={**bearer, "X-Own": "é".encode()}
    )
    assert answer.status_code == 200
    assert service.last.method == "POST"
    assert service.last.path == path
    assert service.last.query == "q=%2F..%2f&q=+x"
    assert service.last.body == body
    assert service.last.values("content-length") == ["1000"]
    assert service.last.values("authorization") == [bearer["Authorization"]]
    assert service.last.values("x-own") == ["é"]
    assert service.last.values("host") == [f"127.0.0.1:{gateway.port}"]


async def test_the_answer_comes_back_without_what_ends_at_each_hop(gateway):
    answer = await gateway.http.get("/api/v1/products?status=201&parts=3")
    assert answer.status_code == 201
    assert answer.text == '{"part": 0}{"part": 1}{"part": 2}'
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["etag"] == '"7"'
    assert len(answer.headers.get_list("date")) == 1
    for name in ("server", "x-hop", "keep-alive", "connection"):
        assert name not in answer.headers


async def test_what_ends_at_each_hop_does_not_reach_the_service(gateway, service):
    await gateway.http.get(
        "/api/v1/products",
        headers={
            "Connection": "X-Secret-Hop, keep-alive",
            "X-Secret-Hop": "1",
            "Keep-Alive": "timeout=5",
            "TE": "trailers",
            "Proxy-Authorization": "Basic eDp5",
            "Proxy-Connection": "keep-alive",
            "Trailer": "X-Late",
        },
    )
    for name in ("x-secret-hop", "keep-alive", "te", "proxy-authorization", "trailer"):
        assert service.last.values(name) == [], name
    assert service.last.values("connection") == []
    assert service.last.values("proxy-connection") == []


FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
    "Forwarded": "for=203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "X-User-Id": "1",
    "X-Auth-Request-User": "admin",
    "Remote-User": "admin",
    "X-HTTP-Method-Override": "DELETE",
    "X-Original-URL": "/exports/me",
    "X-Request-Timeout-Ms": "999999",
    "X_Forwarded_For": "203.0.113.9",
}


async def test_what_only_somebody_inside_may_say_is_not_taken_from_outside(gateway, service):
    await gateway.http.get("/api/v1/products", headers=FORGED)
    seen = service.last
    assert seen.values("x-forwarded-for") == ["127.0.0.1"]
    assert seen.values("x-forwarded-proto") == ["http"]
    assert seen.values("x-forwarded-host") == [f"127.0.0.1:{gateway.port}"]
    assert seen.values("x-request-timeout-ms") == ["10000"]
    for name in FORGED:
        if name.lower() not in {
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-request-timeout-ms",
        }:
            assert seen.values(name.lower()) == [], name


async def test_a_trusted_proxy_says_where_a_request_came_from(start, service):
    gateway = await start(trusted_proxies=networks("127.0.0.0/8"))
    await gateway.http.get("/api/v1/products", headers=FORGED)
    seen = service.last
    assert seen.values("x-forwarded-for") == ["203.0.113.9, 127.0.0.1"]
    assert seen.values("x-forwarded-proto") == ["https"]
    assert seen.values("x-forwarded-host") == ["shop.example"]
    assert seen.values("x-request-timeout-ms") == ["10000"]
    assert seen.values("x-user-id") == []


def networks(text):
    from ipaddress import ip_network  # noqa: PLC0415 - one test's

    return (ip_network(text),)


async def test_the_request_id_is_kept_or_made_and_is_the_same_everywhere(gateway, service):
    answer = await gateway.http.get("/api/v1/products", headers={"X-Request-ID": "mine-1"})
    assert answer.headers.get_list("x-request-id") == ["mine-1"]
    assert service.last.values("x-request-id") == ["mine-1"]
    answer = await gateway.http.get("/api/v1/products", headers={"X-Request-ID": "not one!"})
    assert service.last.values("x-request-id") == [answer.headers["x-request-id"]]
    assert answer.headers["x-request-id"] != "not one!"


async def test_the_callers_trace_goes_on_to_the_service(gateway, service):
    parent = f"00-{TRACE}-00f067aa0ba902b7-01"
    await gateway.http.get("/api/v1/products", headers={"traceparent": parent, "baggage": "a=b"})
    (sent,) = service.last.values("traceparent")
    assert sent.split("-")[1] == TRACE
    assert service.last.values("baggage") == []


async def test_a_body_that_comes_in_parts_is_streamed(gateway, service, bearer):
    async def parts():
        for _ in range(5):
            yield b"x" * 50_000
            await asyncio.sleep(0)

    answer = await gateway.http.post("/api/v1/orders", content=parts(), headers=bearer)
    assert answer.status_code == 200
    assert len(service.last.body) == 250_000


async def test_a_long_body_of_known_length_keeps_its_length(gateway, service, bearer):
    await gateway.http.post("/api/v1/orders", content=b"x" * 900_000, headers=bearer)
    assert len(service.last.body) == 900_000
    assert service.last.values("content-length") == ["900000"]
    assert service.last.values("transfer-encoding") == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_request_without_a_body_stays_without(gateway, service, bearer, method):
    await gateway.http.request(method, "/api/v1/orders/1", headers=bearer)
    assert service.last.body == b""
    assert service.last.whole


async def test_head_has_the_length_and_no_body(gateway):
    answer = await gateway.http.head("/api/v1/products?length=11")
    assert answer.headers["content-length"] == "11"
    assert answer.content == b""
    assert (await gateway.http.get("/api/v1/products")).status_code == 200


async def test_304_needs_no_body_whatever_length_it_names(gateway):
    answer = await gateway.http.get("/api/v1/products?status=304")
    assert answer.status_code == 304
    assert answer.content == b""


async def test_connections_to_the_service_are_used_again(gateway, service):
    ports = set()
    for _ in range(5):
        await gateway.http.get("/api/v1/products")
    for seen in service.requests:
        ports.update(seen.values("x-forwarded-for"))
    assert len(service.requests) == 5


async def test_every_answer_carries_the_security_headers(start):
    gateway = await start(hsts_max_age=600)
    for path in ("/api/v1/products", "/docs", "/nothing", "/api/v1/orders"):
        answer = await gateway.http.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["strict-transport-security"] == "max-age=600; includeSubDomains"
