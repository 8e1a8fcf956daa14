import asyncio
from functools import partial
from ipaddress import ip_network

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from chassis.auth.principal import Principal
from chassis.database import new_id
from gateway.addresses import Origin
from gateway.admission import _counted
from gateway.limits import open_limits
from gateway.routes import LimitClass, Route
from gateway.settings import GatewaySettings
from localservers import ValkeyServer
from localservers.ports import free_port
from testkit.waiting import until


@pytest.fixture
def limited(start, valkey):
    """Start gateways that count in Valkey; each test starts with counts of zero."""

    async def started(**changes):
        reader, writer = await asyncio.open_connection("127.0.0.1", valkey.port)
        writer.write(b"FLUSHALL\r\n")
        assert await reader.readline() == b"+OK\r\n"
        writer.close()
        return await start(valkey_url=SecretStr(valkey.url), slipway_limits="on", **changes)

    return started


async def statuses(gateway, number, path="/api/v1/products", method="GET", headers=None):
    return [
        (await gateway.http.request(method, path, headers=headers)).status_code
        for _ in range(number)
    ]


async def test_more_than_the_limit_is_429_with_when_to_come_back(limited, assert_problem):
    gateway = await limited(limit_default="5/minute")
    assert await statuses(gateway, 5) == [200] * 5
    answer = await gateway.http.get("/api/v1/products")
    problem = assert_problem(answer, 429, "too-many-requests")
    wait = int(answer.headers["retry-after"])
    assert 1 <= wait <= 60
    assert str(wait) in problem["detail"]
    assert answer.headers["ratelimit-policy"] == '"default";q=5;w=60'
    assert answer.headers["ratelimit"] == f'"default";r=0;t={wait}'


async def test_refusals_are_counted_by_limit_class_and_each_class_is_there_from_the_start(
    limited, settings
):
    gateway = await limited(limit_default="1/minute", limit_login="1/minute")
    counted = partial(refusals, gateway)
    assert counted() == dict.fromkeys(settings.rates, 0)
    assert await statuses(gateway, 3) == [200, 429, 429]
    assert await statuses(gateway, 2, "/api/v1/auth/login", "POST") == [200, 429]
    assert counted() == dict.fromkeys(settings.rates, 0) | {"default": 2, "login": 1}


def refusals(gateway):
    return {
        sample.labels["limit"]: sample.value
        for family in gateway.process.registry.collect()
        if family.name == "gateway_rate_limit_refusals"
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def test_a_response_within_the_limit_names_the_policy(limited):
    gateway = await limited(limit_default="5/minute")
    answer = await gateway.http.get("/api/v1/products")
    assert answer.headers["ratelimit-policy"] == '"default";q=5;w=60'


async def test_each_user_has_a_share_of_his_own(limited, tokens):
    gateway = await limited(limit_default="3/minute")
    ada, bob = tokens.headers(), tokens.headers()
    assert await statuses(gateway, 4, "/api/v1/orders", headers=ada) == [200, 200, 200, 429]
    assert await statuses(gateway, 1, "/api/v1/orders", headers=bob) == [200]
    assert await statuses(gateway, 1) == [200]


async def test_tokens_can_be_tried_only_so_often(limited):
    gateway = await limited(limit_default="3/minute")
    bad = {"Authorization": "Bearer x.y.z"}
    assert await statuses(gateway, 4, "/api/v1/orders", headers=bad) == [401, 401, 401, 429]


async def test_log_ins_and_registrations_have_limits_of_their_own(limited):
    gateway = await limited(limit_login="2/minute", limit_registration="1/minute")
    assert await statuses(gateway, 3, "/api/v1/auth/login", "POST") == [200, 200, 429]
    assert await statuses(gateway, 2, "/api/v1/users", "POST") == [200, 429]
    assert await statuses(gateway, 1) == [200]


async def settled(gateway):
    """Wait until the store knows what a gateway counted, and the gateway what the store knows."""
    settlement = gateway.server.admission._limits._settlement
    await until(lambda: settlement._timer is None and settlement._task is None)


async def test_two_gateways_count_together(limited, start, valkey):
    first = await limited(limit_default="4/minute")
    second = await start(
        valkey_url=SecretStr(valkey.url), slipway_limits="on", limit_default="4/minute"
    )
    assert await statuses(first, 2) == [200, 200]
    await settled(first)
    assert await statuses(second, 2) == [200, 200]
    await settled(second)
    assert await statuses(second, 1) == [429]


async def test_a_log_in_counts_for_every_gateway_before_the_next_one(limited, start, valkey):
    first = await limited(limit_login="2/minute")
    second = await start(
        valkey_url=SecretStr(valkey.url), slipway_limits="on", limit_login="2/minute"
    )
    assert await statuses(first, 2, "/api/v1/auth/login", "POST") == [200, 200]
    assert await statuses(second, 1, "/api/v1/auth/login", "POST") == [429]


async def test_the_addresses_of_a_site_of_ipv6_share_a_limit(start):
    gateway = await start(
        slipway_limits="on",
        limit_default="2/minute",
        trusted_proxies=(ip_network("127.0.0.0/8"),),
    )
    sites = [{"X-Forwarded-For": f"2001:db8::{number}"} for number in range(3)]
    answers = [(await statuses(gateway, 1, headers=headers))[0] for headers in sites]
    assert answers == [200, 200, 429]


async def test_requests_at_once_are_counted_each(limited):
    gateway = await limited(limit_default="25/minute")
    sent = (statuses(gateway, 1) for _ in range(40))
    answers = [status for one in await asyncio.gather(*sent) for status in one]
    assert (answers.count(200), answers.count(429)) == (25, 15)


async def test_a_store_that_forgot_the_script_gets_it_again(limited, valkey):
    gateway = await limited(limit_default="4/minute")
    assert await statuses(gateway, 2) == [200, 200]
    reader, writer = await asyncio.open_connection("127.0.0.1", valkey.port)
    writer.write(b"SCRIPT FLUSH\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    sent = (statuses(gateway, 1) for _ in range(6))
    answers = [status for one in await asyncio.gather(*sent) for status in one]
    assert (answers.count(200), answers.count(429)) == (2, 4)
    assert gateway.metric("gateway_rate_limit_store_failures_total") == 0


async def test_the_address_is_the_clients_behind_a_trusted_proxy_only(limited):
    honest = {"X-Forwarded-For": "203.0.113.9"}
    gateway = await limited(limit_default="2/minute")
    assert await statuses(gateway, 3, headers=honest) == [200, 200, 429]
    behind = await limited(limit_default="2/minute", trusted_proxies=(ip_network("127.0.0.0/8"),))
    assert await statuses(behind, 3, headers=honest) == [200, 200, 429]
    assert await statuses(behind, 1, headers={"X-Forwarded-For": "203.0.113.10"}) == [200]
    forged = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    assert await statuses(behind, 1, headers=forged) == [429]


@pytest.mark.parametrize(
    ("limit", "counted"),
    [
        (LimitClass.DEFAULT, (LimitClass.API_KEY, "api_key:{key}")),
        (LimitClass.EXPORT, (LimitClass.EXPORT, "user:{user}")),
    ],
)
def test_no_key_gives_its_owner_more_of_what_is_limited_apart(limit, counted):
    user, key = new_id(), new_id()
    caller = Principal(
        user_id=user,
        session_id=None,
        api_key_id=key,
        roles=frozenset(),
        scopes=frozenset(),
        expires_at=0,
        key_id="",
        authenticated_at=0,
        methods=frozenset(),
    )
    origin = Origin(client="192.0.2.1", trusted=False, chain="192.0.2.1")
    route = Route(prefix="/x", service="users", limit=limit)
    name, text = counted
    assert _counted(caller, route, origin) == (name, text.format(user=user, key=key))


async def test_limits_can_be_off(start):
    gateway = await start(slipway_limits="off", limit_default="1/minute")
    assert await statuses(gateway, 3) == [200] * 3


async def test_a_store_that_dies_fails_no_request_and_is_picked_up_again(
    start, tmp_path, monkeypatch
):
    monkeypatch.setattr("gateway.limits._OPEN_SECONDS", 0.2)
    store = ValkeyServer(directory=tmp_path, port=free_port())
    await store.start()
    try:
        gateway = await start(
            valkey_url=SecretStr(store.url), slipway_limits="on", limit_default="10/minute"
        )
        assert await statuses(gateway, 3) == [200] * 3
        await settled(gateway)
        assert gateway.metric("gateway_rate_limits_local") == 0
        await store.stop()
        answers = await statuses(gateway, 1)
        # Until the first settlement fails, the gateway takes the store's count for known.
        await until(lambda: gateway.metric("gateway_rate_limit_store_failures_total") >= 1)
        answers += await statuses(gateway, 11)
        assert answers == [200] * 10 + [429] * 2, "this process counts for itself"

        async def alone():
            await statuses(gateway, 1)  # each request that is counted asks the store again
            return gateway.metric("gateway_rate_limits_local") == 1

        await until(alone)
        assert gateway.metric("gateway_rate_limit_store_failures_total") >= 3
        await store.start()
        async with asyncio.timeout(5):
            while gateway.metric("gateway_rate_limits_local"):
                await gateway.http.get("/api/v1/products")
                await asyncio.sleep(0.05)
        assert await statuses(gateway, 1) == [200], "the store came back empty"
    finally:
        await store.stop()


async def ask(store, *commands):
    reader, writer = await asyncio.open_connection("127.0.0.1", store.port)
    for command in commands:
        writer.write(f"{command}\r\n".encode())
        assert (await reader.readline())[:1] in {b"+", b":"}
    writer.close()


async def test_a_password_of_the_store_that_changes_is_taken_from_its_file(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("SECRETS_DIRECTORY", str(tmp_path))
    secret, registry = tmp_path / "valkey_password", CollectorRegistry()

    def settings_with_valkey():
        secret.write_text("first")
        given = settings.model_dump(exclude={"valkey_password"})
        given |= {"slipway_limits": "on", "valkey_url": store.url}
        return GatewaySettings.model_validate(given)

    def failures():
        return registry.get_sample_value("gateway_rate_limit_store_failures_total")

    store = ValkeyServer(directory=tmp_path / "valkey", port=free_port())
    await store.start()
    try:
        await ask(store, "CONFIG SET requirepass first")
        async with open_limits(await asyncio.to_thread(settings_with_valkey), registry) as limits:
            assert limits is not None
            assert (await limits.hit("default", "ada")).allowed
            assert failures() == 0
            change = ("CONFIG SET requirepass second", "CLIENT KILL TYPE normal")
            await ask(store, "AUTH first", *change)
            await asyncio.to_thread(secret.write_text, "second")
            for _ in range(3):
                assert (await limits.hit("default", "ada")).allowed
            assert failures() <= 1, "the connection that was ended"
    finally:
        await store.stop()


async def test_a_store_that_was_never_there_fails_no_request(start):
    gateway = await start(slipway_limits="on", limit_default="3/minute")
    assert await statuses(gateway, 4) == [200, 200, 200, 429]


async def test_a_store_that_hangs_is_waited_for_three_times_and_then_left_alone(start):
    asked = 0

    async def hang(reader, writer):
        nonlocal asked
        while await reader.read(1024):
            asked += 1
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        gateway = await start(
            valkey_url=SecretStr(f"valkey://127.0.0.1:{port}/0"),
            slipway_limits="on",
            valkey_timeout=0.05,
        )
        before = asked
        async with asyncio.timeout(10):
            while gateway.metric("gateway_rate_limit_store_failures_total") < 3:
                assert await statuses(gateway, 1) == [200]
                await asyncio.sleep(0.02)
        after = asked
        assert after > before
        assert await statuses(gateway, 10) == [200] * 10
        assert asked == after


async def test_the_own_routes_have_a_limit_for_each_address(start, assert_problem):
    gateway = await start(
        slipway_limits="on",
        limit_documents="2/minute",
        trusted_proxies=(ip_network("127.0.0.0/8"),),
    )
    there = {"X-Forwarded-For": "203.0.113.9"}
    assert await statuses(gateway, 2, "/docs", headers=there) == [200, 200]
    assert_problem(await gateway.http.get("/docs", headers=there), 429, "too-many-requests")
    assert await statuses(gateway, 1, "/docs", headers={"X-Forwarded-For": "203.0.113.8"}) == [200]


async def test_two_gateways_count_requests_of_their_own_routes_together(limited, start, valkey):
    first = await limited(limit_documents="4/minute")
    second = await start(
        valkey_url=SecretStr(valkey.url), slipway_limits="on", limit_documents="4/minute"
    )
    assert await statuses(first, 4, "/docs") == [200] * 4
    async with asyncio.timeout(10):  # the counts are settled 25 ms later
        while True:
            if await statuses(second, 1, "/docs") == [429]:
                break
            await asyncio.sleep(0.05)
    assert await statuses(second, 1, "/asyncapi.json") == [200], "each route has its own"


@pytest.mark.parametrize("path", ["/docs", "/api/v1/products"])
async def test_a_proxy_that_adds_a_line_leaves_the_client_no_choice_of_its_key(start, path):
    gateway = await start(
        slipway_limits="on",
        limit_documents="2/minute",
        limit_default="2/minute",
        trusted_proxies=(ip_network("127.0.0.0/8"),),
    )
    answers = []
    for number in range(4):
        lines = [("X-Forwarded-For", f"198.51.100.{number}"), ("X-Forwarded-For", "203.0.113.9")]
        answers.append((await gateway.http.get(path, headers=lines)).status_code)
    assert answers == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/api/v1/products", 200, "default"),
        ("GET", "/api/v1/products?status=404", 404, "default"),
        ("GET", "/api/v1/orders", 401, "default"),
        ("POST", "/api/v1/auth/login", 200, "login"),
        ("POST", "/api/v1/users", 200, "registration"),
        ("GET", "/api/v1/users/me/export", 401, "export"),
        ("POST", "/api/v1/notifications/unsubscribe", 200, "unsubscribe"),
        ("POST", "/graphql", 415, "graphql"),
        ("GET", "/docs", 200, "documents"),
    ],
)
async def test_each_response_that_was_counted_names_its_policy_and_what_is_left(
    start, method, path, status, name
):
    limit = f"limit_{name}"
    gateway = await start(slipway_limits="on", **{limit: "9/minute"})
    answer = await gateway.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["ratelimit-policy"] == f'"{name}";q=9;w=60'
    assert answer.headers["ratelimit"].startswith(f'"{name}";r=8;t=')
