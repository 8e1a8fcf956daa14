"""The faults of `make observe-faults`, and which alerts must show each of them.

They are those of the chaos suite (`libs/chassis/tests/chaos/faults.py`), for a whole system, and
those of the servers that the chaos suite does not have. Servers and processes are frozen rather
than stopped where an alert must fire: a network that fails gives no refusal either.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer

from client import ClientError, NewItem, NewOrder, NewWebhook, SlipwayClient
from slipway.local.system import System
from slipway.operate.seed import DEMO_PASSWORD
from testkit.operating import operate
from testkit.waiting import until

from . import callers
from .breaking import Fault, Stage, beside, freeze, frozen, kill, restarted, running
from .conftest import ADDRESS, PASSWORD

FIRE_SECONDS = 240.0
CLEAR_SECONDS = 300.0
CROWD = 60
PAUSE_SECONDS = 0.5
HALT_SECONDS = 3.0  # longer than a push may take, shorter than the time-outs of the group
WEBHOOKS = 8  # more jobs than leases may expire before the alert fires
SETTINGS = {
    "SMTP_TIMEOUT": "5",  # a minute by default; the windows of the alerts are divided as well
    "TRUSTED_PROXIES": "127.0.0.0/8",  # registrations and mails are limited by address
}


@asynccontextmanager
async def poison(stage: Stage) -> AsyncIterator[None]:
    """Publish a message that no consumer can parse; an operator discards it in the end."""
    producer = AIOKafkaProducer(bootstrap_servers=stage.system.settings.brokers)
    await producer.start()
    await producer.send_and_wait("slipway.orders", b"{}", key=b"poison", headers=[])
    await producer.stop()
    yield
    # Under load the log-in may be refused with 503: an operator repeats it too.
    await until(lambda: dead_letters_discarded(stage.system), seconds=CLEAR_SECONDS)


async def dead_letters_discarded(system: System) -> bool:
    """Discard what is dead with the operator's command; return whether that succeeded."""
    arguments = ("dead-letters", "discard", "--service", "notifications", "--state", "dead")
    status, out, errors = await operate(
        system.state.path, *arguments, "--reason", "a test's poison", password=DEMO_PASSWORD
    )
    print(f"  {(out if status == 0 else errors).splitlines()[-1]}")
    return status == 0


@asynccontextmanager
async def stuck(stage: Stage) -> AsyncIterator[None]:
    """Hold a lock that each batch of notifications needs."""
    holder = await stage.database()
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE notifications.inbox IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await holder.close()


@asynccontextmanager
async def halting(stage: Stage) -> AsyncIterator[None]:
    """Freeze the worker of notifications again and again, never for as long as a time-out."""

    async def halt() -> None:
        while True:
            with frozen(stage.system.process("notifications-worker").pid):
                await asyncio.sleep(HALT_SECONDS)  # the fault itself
            await asyncio.sleep(HALT_SECONDS / 3)  # it catches up

    async with beside(halt):
        yield


@asynccontextmanager
async def frozen_under_a_crowd(stage: Stage) -> AsyncIterator[None]:
    """Freeze an API while many wait for it: a breaker opens only for a crowd."""
    system = stage.system

    async def ask() -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await http.get(f"/api/v1/products/{uuid4()}")
            await asyncio.sleep(PAUSE_SECONDS)  # else an open breaker's responses make a busy loop

    async with httpx.AsyncClient(base_url=system.gateway_url, timeout=60, trust_env=False) as http:
        with frozen(system.process("orders").pid):
            async with beside(*[ask] * CROWD):
                yield


@asynccontextmanager
async def killed(stage: Stage) -> AsyncIterator[None]:
    """Kill a worker whenever it is back."""

    async def kill_again() -> None:
        while True:
            before = kill(stage.system, "orders-worker")
            await restarted(stage, "orders-worker", before)

    async with beside(kill_again):
        yield


@asynccontextmanager
async def mail_away(stage: Stage) -> AsyncIterator[None]:
    """Freeze the mail server while people register, whose addresses are to be verified."""
    url = f"{stage.system.gateway_url}/api/v1/users"

    async def register() -> None:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            for number in itertools.count():
                email = f"{uuid4().hex}@example.com"
                body = {"email": email, "password": PASSWORD, "full_name": "Ada Lovelace"}
                address = {"X-Forwarded-For": f"10.1.{number // 250 % 250}.{number % 250}"}
                with contextlib.suppress(httpx.HTTPError):
                    await http.post(url, json=body, headers=address)
                await asyncio.sleep(PAUSE_SECONDS)  # the pace of registrations

    with frozen(stage.system.servers.mail.pid):
        async with beside(register):
            yield


@asynccontextmanager
async def hanging_webhooks(stage: Stage) -> AsyncIterator[None]:
    """Have notifications sent to receivers that accept connections and never respond."""
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        url = f"http://127.0.0.1:{receiver.getsockname()[1]}"
        async with SlipwayClient(stage.system.gateway_url, timeout=60) as client:
            _, token = await callers.account(client)
            hooks = [
                await client.create_webhook(token, NewWebhook(url=f"{url}/{number}"))
                for number in range(WEBHOOKS)
            ]
            order = NewOrder(
                items=[NewItem(product_id=stage.product, quantity=1)], shipping_address=ADDRESS
            )

            async def place() -> None:
                while True:
                    with contextlib.suppress(ClientError, httpx.HTTPError):
                        await client.place_order(token, order, idempotency_key=uuid4().hex)
                    await asyncio.sleep(1)  # the pace of orders

            async with beside(place):
                yield
            for hook in hooks:
                await client.delete_webhook(token, hook.id)


@asynccontextmanager
async def killed_in_jobs(stage: Stage) -> AsyncIterator[None]:
    """Kill a worker while it calls webhooks that do not respond.

    The leases of its jobs expire once Prometheus has seen its successor. On a slow machine they
    would expire before, and the first value of a counter is no increase.
    """
    connection = await stage.database()

    async def calls() -> bool:
        query = "SELECT count(*) FROM notifications.jobs WHERE state = 'running'"
        return int(await connection.fetchval(f"{query} AND queue = 'webhooks'")) == WEBHOOKS

    try:
        async with hanging_webhooks(stage):
            await until(calls, seconds=FIRE_SECONDS)
            before = kill(stage.system, "notifications-worker")
            held = await connection.fetch(
                "UPDATE notifications.jobs SET lease_until = 'infinity'"
                " WHERE state = 'running' AND queue = 'webhooks' RETURNING id"
            )
            await restarted(stage, "notifications-worker", before)
            ids = [row["id"] for row in held]
            query = "UPDATE notifications.jobs SET lease_until = now() WHERE id = ANY($1)"
            await connection.execute(query, ids)
            yield
    finally:
        await connection.close()


WAITING = frozenset({"PartitionWaits", "ConsumerWithoutProgress", "ConsumerLags", "JobsLate"})
UNMEASURED = frozenset({"OutboxNotMeasured", "JobsNotMeasured", "ConsumerNotMeasured"})
REFUSING = frozenset(
    {"BreakerOpen", "UpstreamUnreachable", "RequestsShed", "BulkheadFull", "PasswordsRefused"}
)
FAULTS = {
    "kafka": Fault(
        begin=freeze(lambda system: running(system.servers.kafka).pid),
        fires=frozenset({"EventsNotPublished", "EndedSessionsStale"}),
        also=WAITING | UNMEASURED | {"ConsumerRebuilt", "ProcessDown"},
    ),
    "postgres": Fault(
        begin=freeze(lambda system: running(system.servers.postgres).pid),
        fires=frozenset({"DatabaseUnreachable"}),
        also=WAITING
        | UNMEASURED
        | REFUSING
        | {"DatabasePoolExhausted", "ApiKeysNotExchanged", "JobLeasesExpire", "EventsNotPublished"},
    ),
    "valkey": Fault(
        begin=freeze(lambda system: system.servers.valkey.pid),
        fires=frozenset({"RateLimitsLocal"}),
    ),
    "mail": Fault(
        begin=mail_away, fires=frozenset({"MailsDeferred"}), also=frozenset({"JobsLate"})
    ),
    "webhooks": Fault(begin=hanging_webhooks, fires=frozenset({"WebhooksFail"})),
    "poison-message": Fault(begin=poison, fires=frozenset({"MessageDead"})),
    "stuck-consumer": Fault(
        begin=stuck,
        fires=frozenset({"ConsumerWithoutProgress"}),
        also=WAITING | {"DatabasePoolExhausted", "PartitionFailing", "ConsumerRebuilt"},
    ),
    "halting-worker": Fault(
        begin=halting,
        fires=frozenset({"FreshnessOfPushesBurns1h"}),
        also=frozenset({"ProcessDown"}),
    ),
    "frozen-api": Fault(
        begin=frozen_under_a_crowd,
        fires=frozenset({"ProcessDown", "BreakerOpen", "AvailabilityOfReadsBurns1h"}),
        also=REFUSING,
    ),
    "frozen-worker": Fault(
        begin=freeze(lambda system: system.process("orders-worker").pid),
        fires=frozenset({"ProcessDown"}),
        also=WAITING | {"JobLeasesExpire", "EventsNotPublished"},
    ),
    "killed-worker": Fault(
        begin=killed,
        fires=frozenset({"ProcessRestarts"}),
        also=frozenset({"ProcessDown", "EndedSessionsStale", "EventsNotPublished"}),
    ),
    "killed-in-jobs": Fault(
        begin=killed_in_jobs,
        fires=frozenset({"JobLeasesExpire"}),
        also=frozenset({"WebhooksFail", "ProcessDown", "EndedSessionsStale", "EventsNotPublished"}),
    ),
}
