"""graphql-transport-ws over real sockets: the protocol, its limits, and how sockets end."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from testkit.waiting import until

from .conftest import HANG, PROBLEM, id_of

ORDERS = "subscription($after: BigInt) { orderChanged(after: $after) { eventId orderId order { version } } }"  # noqa: E501 - one line of GraphQL
NOTIFICATIONS = (
    "subscription($after: BigInt) { notificationReceived(after: $after) { eventId type } }"
)


class Client:
    """A client of the protocol."""

    def __init__(self, socket):
        self.socket = socket

    async def send(self, kind, **message):
        await self.socket.send(json.dumps({"type": kind, **message}))

    async def receive(self):
        async with asyncio.timeout(10):
            return json.loads(await self.socket.recv())

    async def subscribe(self, key, query, **payload):
        await self.send("subscribe", id=key, payload={"query": query, **payload})

    async def next(self, key="1"):
        message = await self.receive()
        assert (message["type"], message["id"]) == ("next", key), message
        return message["payload"]

    async def ends(self):
        async with asyncio.timeout(10):
            await self.socket.wait_closed()
        return self.socket.close_code


@asynccontextmanager
async def opened(
    gateway, bearer=None, *, init=True, subprotocols=("graphql-transport-ws",), **more
):
    url = f"ws://127.0.0.1:{gateway.port}/graphql"
    async with connect(url, proxy=None, subprotocols=subprotocols, **more) as socket:
        client = Client(socket)
        if init:
            await client.send("connection_init", payload=bearer)
            assert await client.receive() == {"type": "connection_ack"}
        yield client


@pytest.fixture
def gateway(gateway_of_graph):
    return gateway_of_graph


async def test_queries_and_mutations_are_answered_and_completed(gateway, bearer, system):
    async with opened(gateway, bearer) as client:
        await client.subscribe("a", "{ unreadCount }")
        assert await client.next("a") == {"data": {"unreadCount": 3}}
        assert await client.receive() == {"id": "a", "type": "complete"}
        await client.subscribe("a", "mutation { markAllNotificationsRead }")
        assert await client.next("a") == {"data": {"markAllNotificationsRead": 0}}
        assert system.calls[0].headers["authorization"] == bearer["Authorization"]


async def test_a_document_that_is_not_valid_is_an_error_of_its_id(gateway, bearer):
    async with opened(gateway, bearer) as client:
        for payload in ({"query": "{ nothing }"}, {"query": ORDERS, "variables": {"after": "x"}}):
            await client.send("subscribe", id="a", payload=payload)
            message = await client.receive()
            assert (message["type"], message["id"]) == ("error", "a")
            assert message["payload"][0]["extensions"]["status"] == 400
        await client.send("ping")
        assert await client.receive() == {"type": "pong"}


async def test_subscriptions_of_a_client_share_one_upstream_socket(gateway, bearer, system):
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", ORDERS)
        await client.subscribe("2", NOTIFICATIONS)
        async with asyncio.timeout(10):
            feed = await system.opened.get()
        assert feed.hello == {"type": "auth", "token": bearer["Authorization"].split()[1]}
        await until(lambda: gateway.metric("gateway_websockets") == 1)
        await client.send("ping")
        assert await client.receive() == {"type": "pong"}
        await feed.item(101, order_id=id_of(9))
        got = [await client.receive() for _ in range(2)]
        payloads = {message["id"]: message["payload"]["data"] for message in got}
        changed = {"eventId": 101, "orderId": id_of(9), "order": {"version": 3}}
        assert payloads == {
            "1": {"orderChanged": changed},
            "2": {"notificationReceived": {"eventId": 101, "type": "order.shipped"}},
        }
        await feed.item(102)  # about no order
        assert (await client.next("2"))["data"]["notificationReceived"]["eventId"] == 102
        assert len(system.sockets) == 1
        await client.send("complete", id="2")
        await client.send("complete", id="1")
        async with asyncio.timeout(10):
            await feed.gone.wait()


async def test_each_event_reads_its_order_anew(gateway, bearer, system):
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", ORDERS)
        feed = await system.opened.get()
        for event_id in (101, 102):
            await feed.item(event_id, order_id=id_of(9))
            await client.next()
    assert system.paths() == [f"/api/v1/orders/{id_of(9)}"] * 2


async def test_an_order_that_can_not_be_read_is_null_in_its_event(gateway, bearer, system):
    system.answers["GET", f"/api/v1/orders/{id_of(9)}"] = (500, b"")
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", ORDERS)
        feed = await system.opened.get()
        await feed.item(101, order_id=id_of(9))
        payload = await client.next()
    assert payload["data"]["orderChanged"]["order"] is None
    assert payload["errors"][0]["path"] == ["orderChanged", "order"]


async def test_a_client_resumes_after_its_last_event(gateway, bearer, system):
    def item(n):
        data = {"id": id_of(n), "event_id": n, "type": "x", "data": {"order_id": id_of(9)}}
        return {"type": "notification", "event_id": n, "data": data}

    system.feed = [item(n) for n in range(1, 9)]
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", NOTIFICATIONS, variables={"after": 5})
        got = [(await client.next())["data"]["notificationReceived"]["eventId"] for _ in range(3)]
        assert got == [6, 7, 8]
        # Another one that begins further back makes the feed begin again; the first skips its own.
        await client.subscribe("2", NOTIFICATIONS, variables={"after": 2})
        got = [
            (await client.next("2"))["data"]["notificationReceived"]["eventId"] for _ in range(6)
        ]
        assert got == [3, 4, 5, 6, 7, 8]
        await until(lambda: len(system.sockets) == 2 and system.sockets[0].gone.is_set())
        await system.sockets[1].send(**item(9))
        both = [await client.receive() for _ in range(2)]
        assert {message["id"] for message in both} == {"1", "2"}
    assert [feed.hello["last_event_id"] for feed in system.sockets] == [5, 2]


async def test_a_position_that_is_not_kept_is_an_error_and_not_a_silent_gap(
    gateway, bearer, system
):
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", NOTIFICATIONS, variables={"after": 5})
        await (await system.opened.get()).send(type="reset")
        message = await client.receive()
        assert (message["type"], message["id"]) == ("error", "1")
        assert message["payload"][0]["extensions"]["type"] == f"{PROBLEM}graphql-feed-reset"
        await client.subscribe("1", NOTIFICATIONS)
        await (await system.opened.get()).item(101)
        assert (await client.next())["data"]["notificationReceived"]["eventId"] == 101


@pytest.mark.parametrize(
    ("code", "closed"), [(4401, 4401), (1012, 1013), (1013, 1013), (1011, 1013), (4400, 1013)]
)
async def test_a_feed_that_ends_closes_the_socket(gateway, bearer, system, code, closed):
    """4401: the session was revoked. The others: connect again, with `after`."""
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", ORDERS)
        await (await system.opened.get()).close(code)
        assert await client.ends() == closed


@pytest.mark.parametrize(("code", "status"), [(4403, 403), (4429, 429)])
async def test_a_feed_that_refuses_the_caller_ends_only_the_subscription(
    gateway, bearer, system, code, status
):
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", ORDERS)
        await (await system.opened.get()).close(code, "You may not.")
        message = await client.receive()
        assert (message["type"], message["payload"][0]["message"]) == ("error", "You may not.")
        assert message["payload"][0]["extensions"]["status"] == status
        await client.subscribe("1", "{ unreadCount }")
        await client.next()


async def test_a_feed_that_can_not_be_reached_closes_the_socket(graph, bearer):
    gateway = await graph(notifications_url="http://127.0.0.1:1")
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", ORDERS)
        assert await client.ends() == 1013


async def test_a_revoked_session_ends_a_socket_also_without_operations(
    graph, tokens, topics, revoke
):
    gateway = await graph(
        kafka_bootstrap_servers=topics.bootstrap_servers, kafka_topic_prefix=topics.prefix
    )
    token = tokens.token()
    async with opened(gateway, {"Authorization": f"Bearer {token}"}) as client:
        await revoke(token)
        assert await client.ends() == 4401


async def test_a_token_that_expires_ends_its_socket(gateway, tokens):
    token = tokens.token(lifetime=timedelta(seconds=-4))  # the skew of clocks leaves it a second
    async with opened(gateway, {"Authorization": f"Bearer {token}"}) as client:
        assert await client.ends() == 4401


@pytest.mark.parametrize(
    "payload",
    [None, {}, [], {"Authorization": "Bearer x.y.z"}, {"Authorization": 3},
     {"Authorization": "Basic x"}, {"Authorization": "Bearer a\r\nX-User: 1"}],
)  # fmt: skip
async def test_a_socket_needs_a_valid_token(gateway, payload):
    async with opened(gateway, init=False) as client:
        await client.send("connection_init", payload=payload)
        assert await client.ends() == 4401


async def test_the_token_may_come_in_the_handshake(gateway, bearer, system):
    async with opened(gateway, additional_headers=bearer) as client:
        await client.subscribe("1", "{ me { id } }")
        await client.next()
    assert system.calls[0].headers["authorization"] == bearer["Authorization"]


async def test_a_silent_socket_is_closed(graph):
    gateway = await graph(graphql_init_timeout=0.1)
    async with opened(gateway, init=False) as client:
        assert await client.ends() == 4408


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }"}}'], 4401),
        (["x"], 4400),
        (["[]"], 4400),
        ([b"{}"], 4400),
        (["INIT", '{"type": "other"}'], 4400),
        (["INIT", '{"type": "subscribe", "id": "", "payload": {"query": "{a}"}}'], 4400),
        (["INIT", '{"type": "subscribe", "id": "1", "payload": {"query": 1}}'], 4400),
        (["INIT", '{"type": "subscribe", "id": "1"}'], 4400),
        (["INIT", "INIT"], 4429),
        (["INIT", *['{"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }"}}'] * 2],
         4409),
    ],
)  # fmt: skip
async def test_a_client_that_breaks_the_protocol_is_told_by_the_code(
    gateway, bearer, system, messages, code
):
    system.answers["GET", "/api/v1/users/me"] = HANG
    init = json.dumps({"type": "connection_init", "payload": bearer})
    async with opened(gateway, init=False) as client:
        for message in messages:
            await client.socket.send(init if message == "INIT" else message)
        assert await client.ends() == code


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"]])
async def test_another_subprotocol_is_not_spoken(gateway, subprotocols):
    async with opened(gateway, init=False, subprotocols=subprotocols) as client:
        assert await client.ends() == 4406


async def test_sockets_are_bounded_as_all_others_are(graph, bearer):
    gateway = await graph(websockets=1)
    async with opened(gateway, bearer):
        with pytest.raises(InvalidStatus) as refused:
            async with opened(gateway, init=False):
                pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["content-type"] == "application/problem+json"


async def test_silent_sockets_of_an_address_are_bounded(graph, bearer):
    gateway = await graph(websockets_silent_per_address=1, slipway_limits="on")
    async with opened(gateway, bearer), opened(gateway, bearer), opened(gateway, init=False):
        with pytest.raises(InvalidStatus) as refused:
            async with opened(gateway, init=False):
                pass
    assert refused.value.response.status_code == 429


async def test_operations_of_a_socket_are_bounded(graph, bearer, system):
    system.answers["GET", "/api/v1/users/me"] = HANG
    gateway = await graph(graphql_socket_operations=1)
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", "{ me { id } }")
        await until(lambda: len(system.calls) == 1)
        await client.subscribe("2", "{ unreadCount }")
        message = await client.receive()
        assert (message["type"], message["id"]) == ("error", "2")
        assert message["payload"][0]["extensions"]["status"] == 429
        await client.send("complete", id="1")
        async with asyncio.timeout(10):
            await system.disconnected.wait()
        await client.subscribe("2", "{ unreadCount }")
        await client.next("2")


async def test_operations_on_a_socket_count_against_the_callers_limit(graph, valkey, bearer):
    gateway = await graph(
        valkey_url=SecretStr(valkey.url), slipway_limits="on", limit_graphql="2/minute"
    )
    async with opened(gateway, bearer) as client:  # counts too
        await client.subscribe("1", "{ unreadCount }")
        await client.next("1")
        await client.receive()
        await client.subscribe("2", "{ unreadCount }")
        message = await client.receive()
        assert message["payload"][0]["extensions"]["type"] == f"{PROBLEM}too-many-requests"


async def test_an_idle_socket_is_closed_and_one_with_a_subscription_is_not(graph, bearer, system):
    gateway = await graph(graphql_idle_timeout=0.1)
    async with opened(gateway, bearer) as follower, opened(gateway, bearer) as idle:
        await follower.subscribe("1", ORDERS)
        assert await idle.ends() == 1000
        await (await system.opened.get()).item(101, order_id=id_of(9))
        await follower.next()


async def test_a_client_that_leaves_ends_its_upstream_socket(gateway, bearer, system):
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", ORDERS)
        feed = await system.opened.get()
    async with asyncio.timeout(10):
        await feed.gone.wait()
    await until(lambda: gateway.metric("gateway_websockets") == 0)


async def test_a_client_that_does_not_read_stops_the_reading_of_its_feed(gateway, bearer, system):
    """Otherwise the gateway would hold in memory all that its client does not take."""
    async with opened(gateway, bearer) as client:
        await client.subscribe("1", NOTIFICATIONS.replace("type", "body title data"))
        feed = await system.opened.get()
        client.socket.transport.pause_reading()
        sent = 0

        async def flood():
            nonlocal sent
            for event_id in range(101, 4000):
                await feed.send(
                    type="notification",
                    event_id=event_id,
                    data={"id": id_of(1), "body": "x" * 60_000, "title": "", "data": {}},
                )
                sent += 1

        flooding = asyncio.create_task(flood())
        last = -1
        while sent != last:
            last = sent
            await asyncio.sleep(0.5)
        flooding.cancel()
        await asyncio.wait([flooding])
    assert sent < 1000, "some 60 MB would fit"


async def test_sockets_are_told_to_reconnect_when_the_process_stops(
    settings, serving, running, bearer, system
):
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(system, lifespan="off"))
        own = settings.model_copy(update={"notifications_url": f"http://127.0.0.1:{port}"})
        gateway = await stack.enter_async_context(running(own))
        async with opened(gateway, bearer) as client:
            await client.subscribe("1", ORDERS)
            await system.opened.get()
            stopping = asyncio.create_task(stack.pop_all().aclose())
            assert await client.ends() == 1012
            await stopping
