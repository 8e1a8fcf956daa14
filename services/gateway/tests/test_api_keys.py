"""Requests with an API key: the service gets an access token, and never sees the key."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from chassis.auth.api_keys import new_api_key
from chassis.database import new_id
from gateway.api_keys import EXCHANGE_PATH
from gateway.ended_sessions import SessionsEnded
from testkit.waiting import until

from .test_websockets import open_socket, passed_through

PATH = "/api/v1/orders"
NOWHERE = "http://127.0.0.1:1"
TRANSPORT = Subprotocol("graphql-transport-ws")


@dataclass
class Users:
    """A users service that only exchanges API keys."""

    tokens: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    fields: list[dict[str, str]] = field(default_factory=list)
    status: int | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def __call__(self, scope, receive, send):
        assert (scope["method"], scope["path"]) == ("POST", EXCHANGE_PATH)
        body = json.loads((await receive())["body"])
        self.asked.append(body)
        self.fields.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await self.released.wait()
        token = self.tokens.get(body["api_key"])
        status = self.status or (200 if token else 401)
        await send({"type": "http.response.start", "status": status, "headers": []})
        answer = json.dumps({"access_token": token}).encode()
        await send({"type": "http.response.body", "body": answer})

    def add(self, tokens, *, key_id=None, subject=None):
        """Make a key valid, and return it."""
        key = new_api_key()
        self.tokens[key] = tokens.token(api_key_id=key_id or new_id(), subject=subject)
        return key


@pytest.fixture
async def users(serving):
    users = Users()
    users.released.set()
    async with serving(users, lifespan="off") as port:
        users.url = f"http://127.0.0.1:{port}"
        yield users


@pytest.fixture
async def keyed(start, users):
    """A gateway in front of a users service that exchanges API keys."""
    return await start(users_url=users.url)


def bearer_of(key):
    return {"Authorization": f"Bearer {key}"}


async def test_the_service_gets_an_access_token_and_not_the_key(keyed, users, tokens, service):
    key = users.add(tokens)
    headers = bearer_of(key) | {"X-Request-ID": "r-1"}
    answer = await keyed.http.get(PATH, headers=headers)
    assert answer.status_code == 200
    assert service.last.values("authorization") == [f"Bearer {users.tokens[key]}"]
    assert key not in repr(service.last)
    assert users.asked == [{"api_key": key}]
    (sent,) = users.fields
    assert (sent["x-request-id"], sent["x-real-ip"]) == ("r-1", "127.0.0.1")
    assert int(sent["x-request-timeout-ms"]) <= 2000
    assert "authorization" not in sent


async def test_a_key_is_exchanged_once_for_many_requests(keyed, users, tokens):
    key = users.add(tokens)
    sent = (keyed.http.get(PATH, headers=bearer_of(key)) for _ in range(20))
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {200}
    assert (await keyed.http.post(PATH, headers=bearer_of(key), json={})).status_code == 200
    assert len(users.asked) == 1
    assert keyed.metric("gateway_api_key_exchanges_total", outcome="granted") == 1


async def test_a_client_that_leaves_during_the_exchange_sends_no_request_to_the_service(
    keyed, users, tokens, service
):
    key = users.add(tokens)
    users.released.clear()
    _, writer = await asyncio.open_connection("127.0.0.1", keyed.port)
    credential = f"Authorization: Bearer {key}"
    writer.write(f"GET {PATH}?left HTTP/1.1\r\nHost: x\r\n{credential}\r\n\r\n".encode())
    await until(lambda: users.asked)
    writer.transport.abort()
    await until(lambda: not keyed.server.sweep.in_flight)
    users.released.set()
    assert (await keyed.http.get(PATH, headers=bearer_of(key))).status_code == 200
    assert [seen.query for seen in service.requests] == [""]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_the_scheme_is_read_as_for_access_tokens(keyed, users, tokens, service, scheme):
    key = users.add(tokens)
    answer = await keyed.http.get(PATH, headers={"Authorization": f"{scheme} {key}"})
    assert answer.status_code == 200
    assert service.last.values("authorization") == [f"Bearer {users.tokens[key]}"]


async def test_an_unknown_key_is_refused_here_and_asked_for_once(
    keyed, users, service, assert_problem
):
    key = new_api_key()
    for _ in range(3):
        answer = await keyed.http.get(PATH, headers=bearer_of(key))
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert key not in answer.text
    assert len(users.asked) == 1
    assert keyed.metric("gateway_api_key_exchanges_total", outcome="refused") == 1
    assert not service.requests


async def test_a_malformed_key_is_refused_without_an_exchange(keyed, users, assert_problem):
    answer = await keyed.http.get(PATH, headers=bearer_of(new_api_key()[:-1]))
    assert_problem(answer, 401, "unauthenticated")
    assert users.asked == []


async def test_a_method_that_a_path_does_not_offer_is_405_with_an_unknown_key(
    keyed, assert_problem
):
    answer = await keyed.http.delete(PATH, headers=bearer_of(new_api_key()))
    assert_problem(answer, 405, "method-not-allowed")


@pytest.mark.parametrize("status", [500, 503, 404])
async def test_without_a_valid_answer_of_users_a_key_gets_503_and_a_token_passes(
    keyed, users, bearer, service, status, assert_problem
):
    users.status = status
    answer = await keyed.http.get(PATH, headers=bearer_of(new_api_key()))
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert not service.requests
    assert (await keyed.http.get(PATH, headers=bearer)).status_code == 200


async def test_while_users_is_unreachable_a_key_gets_503_and_is_picked_up_again(
    start, users, tokens, assert_problem
):
    key = users.add(tokens)
    away = await start(users_url=NOWHERE)
    answer = await away.http.get(PATH, headers=bearer_of(key))
    problem = assert_problem(answer, 503, "unavailable")
    assert "Nothing was done" in problem["detail"]
    assert away.metric("gateway_api_key_exchanges_total", outcome="failed") == 1
    back = await start(users_url=users.url)
    users.status = 503
    assert (await back.http.get(PATH, headers=bearer_of(key))).status_code == 503
    users.status = None
    assert (await back.http.get(PATH, headers=bearer_of(key))).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/products"),
        ("POST", "/api/v1/auth/token"),
        ("GET", "/.well-known/jwks.json"),
    ],
)
async def test_on_a_public_path_a_key_is_neither_exchanged_nor_passed_on(
    start, service, tokens, method, path
):
    gateway = await start()
    key = new_api_key()
    answer = await gateway.http.request(method, path, headers=bearer_of(key))
    assert answer.status_code == 200
    assert [seen.path for seen in service.requests] == [path]
    assert service.last.values("authorization") == []
    token = tokens.headers()
    await gateway.http.request(method, path, headers=token)
    assert service.last.values("authorization") == [token["Authorization"]]


async def test_a_socket_passes_no_key_on(gateway, service):
    headers = bearer_of(new_api_key())
    async with open_socket(gateway, additional_headers=headers) as socket:
        await passed_through(socket)
    assert service.last.values("authorization") == []


async def test_a_socket_of_graphql_exchanges_a_key_once(keyed, users, tokens):
    """As the guide says: only the live feed's own socket accepts none."""
    key = users.add(tokens)
    url = f"ws://127.0.0.1:{keyed.port}/graphql"
    async with asyncio.timeout(10), connect(url, proxy=None, subprotocols=[TRANSPORT]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": bearer_of(key)}))
        assert json.loads(await socket.recv()) == {"type": "connection_ack"}
    assert users.asked == [{"api_key": key}]


async def test_no_log_line_holds_a_key_or_a_token(start, users, tokens, capsys):
    gateway = await start(users_url=users.url)
    good, unknown = users.add(tokens), new_api_key()
    for key in (good, unknown, good[:-1]):
        await gateway.http.get(PATH, headers=bearer_of(key))
    users.status = 500
    failed = new_api_key()
    await gateway.http.get(PATH, headers=bearer_of(failed))
    written = capsys.readouterr()
    text = written.out + written.err
    assert "request ended" in text
    assert "api key not exchanged" in text
    for key in (good, unknown, failed):
        assert key.rpartition("_")[2][:20] not in text
    signature = users.tokens[good].rpartition(".")[2]  # it may have an underscore anywhere
    assert signature[:20] not in text


@pytest.fixture
async def publish(topics):
    """Publish that sessions or keys have ended."""
    await topics.create([SessionsEnded.topic.name], partitions=1)

    async def send(*ids):
        event = {"sids": [str(one) for one in ids], "revoked_at": datetime.now(UTC).isoformat()}
        producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
        await producer.start()
        try:
            topic = topics.prefix + SessionsEnded.topic.name
            await producer.send_and_wait(topic, json.dumps(event).encode())
        finally:
            await producer.stop()

    return send


async def test_a_revoked_key_is_refused_although_its_token_is_cached(
    start, topics, users, tokens, publish
):
    gateway = await start(
        users_url=users.url,
        kafka_bootstrap_servers=topics.bootstrap_servers,
        kafka_topic_prefix=topics.prefix,
    )
    key_id = new_id()
    key, other = users.add(tokens, key_id=key_id), users.add(tokens)
    for one in (key, other):
        assert (await gateway.http.get(PATH, headers=bearer_of(one))).status_code == 200
    del users.tokens[key]
    await publish(key_id)

    async def refused():
        return (await gateway.http.get(PATH, headers=bearer_of(key))).status_code == 401

    await until(refused)
    assert (await gateway.http.get(PATH, headers=bearer_of(other))).status_code == 200
    assert [body["api_key"] for body in users.asked].count(key) == 2


@pytest.fixture
async def limited(start, users, valkey):
    """Start gateways that count in Valkey, from counts of zero."""

    async def started(**changes):
        reader, writer = await asyncio.open_connection("127.0.0.1", valkey.port)
        writer.write(b"FLUSHALL\r\n")
        assert await reader.readline() == b"+OK\r\n"
        writer.close()
        return await start(
            users_url=users.url,
            valkey_url=SecretStr(valkey.url),
            slipway_limits="on",
            **changes,
        )

    return started


async def statuses(gateway, number, headers):
    return [(await gateway.http.get(PATH, headers=headers)).status_code for _ in range(number)]


async def test_each_key_has_a_limit_of_its_own_apart_from_its_owner(limited, users, tokens):
    gateway = await limited(limit_api_key="2/minute", limit_default="3/minute")
    owner = new_id()
    one, other = users.add(tokens, subject=owner), users.add(tokens, subject=owner)
    assert await statuses(gateway, 3, bearer_of(one)) == [200, 200, 429]
    answer = await gateway.http.get(PATH, headers=bearer_of(one))
    assert answer.headers["ratelimit-policy"] == '"api_key";q=2;w=60'
    assert await statuses(gateway, 2, bearer_of(other)) == [200, 200]
    assert await statuses(gateway, 3, tokens.headers(subject=owner)) == [200, 200, 200]


async def test_unknown_keys_from_one_address_are_exchanged_only_so_often(
    limited, users, tokens, assert_problem
):
    gateway = await limited(limit_api_key_exchange="3/minute")
    known = users.add(tokens)
    assert await statuses(gateway, 1, bearer_of(known)) == [200]
    guesses = [await statuses(gateway, 1, bearer_of(new_api_key())) for _ in range(5)]
    assert guesses == [[401], [401], [429], [429], [429]]
    assert len(users.asked) == 3
    answer = await gateway.http.get(PATH, headers=bearer_of(new_api_key()))
    assert_problem(answer, 429, "too-many-requests")
    assert int(answer.headers["retry-after"]) >= 1
    assert await statuses(gateway, 2, bearer_of(known)) == [200, 200]
    assert await statuses(gateway, 1, tokens.headers()) == [200]


async def test_unknown_keys_from_one_site_of_ipv6_are_counted_together(limited):
    gateway = await limited(
        limit_api_key_exchange="2/minute", trusted_proxies=(ip_network("127.0.0.0/8"),)
    )
    guesses = []
    for number in range(3):
        address = {"X-Forwarded-For": f"2001:db8::{number}"}
        guesses += await statuses(gateway, 1, bearer_of(new_api_key()) | address)
    assert guesses == [401, 401, 429]


async def test_a_refused_key_counts_against_its_address(limited):
    gateway = await limited(limit_default="3/minute")
    assert await statuses(gateway, 4, bearer_of(new_api_key())) == [401, 401, 401, 429]
