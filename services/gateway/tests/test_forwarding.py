import asyncio
import secrets
from ipaddress import ip_network

import pytest
from websockets.asyncio.client import connect

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_a_request_reaches_the_service_as_it_was_sent(gateway, service, bearer):
    body = secrets.token_bytes(1000)
    path = "/api/v1/orders/a%20b;c=1/%C3%A9"
    answer = await gateway.http.post(
        f"{path}?q=%2F..%2f&q=+x",
        content=body,
        headers={**bearer, "X-Own": "é".encode(), "Origin": "https://a"},
    )
    assert answer.status_code == 200
    assert service.last.method == "POST"
    assert service.last.path == path
    assert service.last.query == "q=%2F..%2f&q=+x"
    assert service.last.body == body
    assert service.last.values("content-length") == ["1000"]
    assert service.last.values("authorization") == [bearer["Authorization"]]
    assert service.last.values("x-own") == ["é"]
    assert service.last.values("origin") == ["https://a"], "users decides by it on cookies"
    assert service.last.values("host") == [f"127.0.0.1:{gateway.port}"]


async def test_the_response_has_no_hop_by_hop_fields(gateway):
    answer = await gateway.http.get("/api/v1/products?status=201&parts=3")
    assert answer.status_code == 201
    assert answer.text == '{"part": 0}{"part": 1}{"part": 2}'
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["etag"] == '"7"'
    assert len(answer.headers.get_list("date")) == 1
    for name in ("server", "x-hop", "keep-alive", "connection"):
        assert name not in answer.headers


async def test_hop_by_hop_fields_do_not_reach_the_service(gateway, service):
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
    assert seen.values("x-real-ip") == ["127.0.0.1"]
    assert timeout_sent(seen) <= 5_000
    for name in FORGED:
        if name.lower() not in {
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-real-ip",
            "x-request-timeout-ms",
        }:
            assert seen.values(name.lower()) == [], name


def timeout_sent(seen):
    [value] = seen.values("x-request-timeout-ms")
    return int(value)


async def test_a_trusted_proxy_says_where_a_request_came_from(start, service):
    gateway = await start(trusted_proxies=(ip_network("127.0.0.0/8"),))
    await gateway.http.get("/api/v1/products", headers=FORGED)
    seen = service.last
    assert seen.values("x-forwarded-for") == ["203.0.113.9, 127.0.0.1"]
    assert seen.values("x-forwarded-proto") == ["https"]
    assert seen.values("x-forwarded-host") == ["shop.example"]
    assert seen.values("x-real-ip") == ["203.0.113.9"]
    assert timeout_sent(seen) <= 5_000
    assert seen.values("x-user-id") == []


async def test_each_request_of_a_trusted_proxys_connection_has_its_own_client(start, service):
    gateway = await start(trusted_proxies=(ip_network("127.0.0.0/8"),))
    for client in ("203.0.113.9", "203.0.113.10"):
        await gateway.http.get("/api/v1/products", headers={"X-Forwarded-For": client})
        assert service.last.values("x-real-ip") == [client]
        assert service.last.values("x-forwarded-for") == [f"{client}, 127.0.0.1"]


async def test_each_request_of_a_connection_has_the_host_that_it_names(gateway, service):
    for host in ("a.example", "b.example", "a.example"):
        await gateway.http.get("/api/v1/products", headers={"Host": host})
        assert service.last.values("host") == [host]
        assert service.last.values("x-forwarded-host") == [host]


async def test_the_request_id_is_kept_or_made_and_is_the_same_everywhere(gateway, service):
    answer = await gateway.http.get("/api/v1/products", headers={"X-Request-ID": "mine-1"})
    assert answer.headers.get_list("x-request-id") == ["mine-1"]
    assert service.last.values("x-request-id") == ["mine-1"]
    answer = await gateway.http.get("/api/v1/products", headers={"X-Request-ID": "not one!"})
    assert service.last.values("x-request-id") == [answer.headers["x-request-id"]]
    assert answer.headers["x-request-id"] != "not one!"


PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "v=1", "baggage": "a=b"}


async def test_a_clients_trace_does_not_go_on_to_the_service(gateway, service):
    await gateway.http.get("/api/v1/products", headers=PARENT)
    for name, value in PARENT.items():
        assert value not in service.last.values(name)
    assert service.last.values("baggage") == []


@pytest.mark.parametrize(
    "trusting",
    [{"trusted_proxies": (ip_network("127.0.0.0/8"),)}, {"trust_client_traces": True}],
)
async def test_the_trace_of_a_trusted_caller_is_continued(start, service, trusting):
    gateway = await start(**trusting)
    await gateway.http.get("/api/v1/products", headers=PARENT)
    (sent,) = service.last.values("traceparent")
    assert sent.split("-")[1] == TRACE
    assert service.last.values("tracestate") == ["v=1"]
    assert service.last.values("baggage") == ["a=b"]


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


@pytest.mark.parametrize("status", [200, 304])
async def test_a_conditional_read_and_its_validators_pass_unchanged(gateway, service, status):
    cache = "public, max-age=10"
    answer = await gateway.http.get(
        "/api/v1/products",
        params={"status": status, "cache": cache},
        headers=[("If-None-Match", '"6"'), ("If-None-Match", 'W/"7"'), ("If-Match", "*")],
    )
    assert service.last.values("if-none-match") == ['"6"', 'W/"7"']
    assert service.last.values("if-match") == ["*"]
    assert answer.status_code == status
    assert answer.headers.get_list("etag") == ['"7"']
    assert answer.headers.get_list("cache-control") == [cache]


async def test_connections_to_the_service_are_used_again(gateway, service):
    ports = set()
    for _ in range(5):
        await gateway.http.get("/api/v1/products")
    for seen in service.requests:
        ports.update(seen.values("x-forwarded-for"))
    assert len(service.requests) == 5


HOST_COOKIE = "__Host-refresh-token=secret"


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [
        (["a=1; b=2"], ["a=1; b=2"]),
        ([HOST_COOKIE], []),
        ([f"a=1;{HOST_COOKIE};  b=2"], ["a=1; b=2"]),
        ([f"{HOST_COOKIE}; __Host-b=3", "a=1"], ["a=1"]),
        ([f"a={HOST_COOKIE}"], [f"a={HOST_COOKIE}"]),
    ],
)
async def test_a_cookie_for_this_host_reaches_no_route_but_those_that_read_it(
    gateway, service, bearer, sent, passed_on
):
    cookies = [("Cookie", line) for line in sent]
    for path in ("/api/v1/orders", "/api/v1/users/me"):
        await gateway.http.get(path, headers=[*bearer.items(), *cookies])
        assert service.last.values("cookie") == passed_on, path
    await gateway.http.get("/api/v1/products?own", headers=[*bearer.items(), *cookies])
    assert service.last.values("cookie") == [], "a cookie may select no copy that others get"
    for path in ("/api/v1/auth/token", "/api/v1/auth/revoke"):
        await gateway.http.post(path, headers=cookies)
        assert service.last.values("cookie") == ["; ".join(sent)], path


async def test_a_cookie_for_this_host_is_not_in_the_handshake_of_a_websocket(gateway, service):
    fields = {"Cookie": f"a=1; {HOST_COOKIE}"}
    async with connect(gateway.websocket_url, proxy=None, additional_headers=fields) as socket:
        await socket.send("x")
        assert await socket.recv() == "x"
    assert service.last.values("cookie") == ["a=1"]


@pytest.mark.parametrize(
    ("path", "control"),
    [
        ("/api/v1/orders", "private, no-cache"),
        ("/api/v1/orders?status=204", "private, no-cache"),
        ("/api/v1/orders?cache=no-store", "no-store"),
        ("/api/v1/products", "private, no-cache"),
        ("/api/v1/products?cache=public", "public"),
    ],
)
async def test_a_response_to_one_caller_says_who_may_keep_it(gateway, bearer, path, control):
    answer = await gateway.http.get(path, headers=bearer)
    assert answer.headers.get("cache-control") == control


async def test_a_response_to_anyone_says_what_the_service_says(gateway):
    answer = await gateway.http.get("/api/v1/products")
    assert "cache-control" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_without_a_body_has_no_type_and_no_length(gateway, bearer, method, status):
    path = f"/api/v1/orders?status={status}"
    answer = await gateway.http.request(method, path, headers=bearer)
    assert (answer.status_code, answer.content) == (status, b"")
    assert not {"content-type", "content-length", "transfer-encoding"} & answer.headers.keys()
