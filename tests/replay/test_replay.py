"""A replay fills an empty schema of a service after its topic has lost the events.

The workers of the services run in this process, each on its own database. Kafka holds the topic of
users, whose events are deleted, as if their retention had passed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from pydantic import SecretStr

from chassis.database import new_id
from chassis.operations.app import PATH
from chassis.service import installed_services
from chassis.settings import Environment
from chassis.worker import create_worker
from contracts import TOPICS
from contracts.users import USERS
from testkit.databases import ServiceDatabase
from testkit.tokens import ISSUER

SERVICES = Path(__file__).parents[2] / "services"
SECONDS = 60
DECLARED = {service.name: service for service in installed_services()}
INSERT = """
    INSERT INTO users (id, email, email_key, password_hash, full_name, roles, version, is_active)
    VALUES ($1, $2, $2, 'x', $3, ARRAY['customer'], $4, $3 <> 'Grace')
"""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running service: its worker's internal API, and its database."""

    http: httpx.AsyncClient
    urls: ServiceDatabase

    async def query(self, sql: str, *arguments: object) -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(self.urls.runtime_url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def until(self, sql: str, expected: list[tuple[object, ...]]) -> None:
        """Poll until the query returns the value: another process writes it, without an event."""
        async with asyncio.timeout(SECONDS):
            while True:
                if (found := await self.query(sql)) == expected:
                    return
                await asyncio.sleep(0.05)
        pytest.fail(f"{sql} gives {found}")


@pytest.fixture(scope="module")
async def databases(postgres_url: str) -> dict[str, ServiceDatabase]:
    return {name: await ServiceDatabase.create(postgres_url, SERVICES / name) for name in DECLARED}


@pytest.fixture
def settings(databases, topics, tokens):
    """Return each worker's settings. Called outside the loop, because settings read files."""
    return {
        name: service.worker.settings(
            environment=Environment.DEVELOPMENT,
            database_url=SecretStr(databases[name].runtime_url),
            kafka_bootstrap_servers=topics.bootstrap_servers,
            kafka_topic_prefix=topics.prefix,
            auth_jwks_file=tokens.jwks_file,
            auth_issuer=ISSUER,
        )
        for name, service in DECLARED.items()
    }


@pytest.fixture
def start(settings, databases, tokens):
    @asynccontextmanager
    async def started(name: str) -> AsyncIterator[Running]:
        worker = create_worker(DECLARED[name], settings[name])
        transport = httpx.ASGITransport(app=worker)
        headers = tokens.headers(scopes=["ops:replay"])
        async with (
            worker.router.lifespan_context(worker),
            httpx.AsyncClient(
                transport=transport, base_url=f"http://test{PATH}", headers=headers
            ) as http,
        ):
            yield Running(http=http, urls=databases[name])

    return started


async def forget(topics) -> None:
    """Delete all events of users, as retention does."""
    partitions = [TopicPartition(topics.prefix + USERS.name, n) for n in range(USERS.partitions)]
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap_servers)
    await admin.start()
    try:
        whole = {partition: RecordsToDelete(before_offset=-1) for partition in partitions}
        await admin.delete_records(whole)
    finally:
        await admin.close()


async def test_a_service_learns_what_is_older_than_the_topic_keeps(start, topics):
    for topic in TOPICS:
        await topics.create([topic.name], partitions=topic.partitions)
    ada, grace = sorted([new_id(), new_id()])
    async with start("users") as users:
        await users.query(INSERT, ada, "ada@example.com", "Ada", 7)
        await users.query(INSERT, grace, "grace@example.com", "Grace", 3)
        await users.query(
            "INSERT INTO outbox (id, topic, key, type, headers, payload)"
            " VALUES (gen_random_uuid(), $1, $2, 'user.registered.v1', '{}', '{}')",
            USERS.name,
            str(ada),
        )
        await users.until("SELECT count(*) FROM outbox", [(0,)])
        await forget(topics)
        async with start("orders") as orders, start("notifications") as notifications:
            # Notifications already has half of the accounts, in newer versions.
            await notifications.query(
                "INSERT INTO recipients (user_id, full_name, version) VALUES ($1, 'Ada L.', 8)",
                ada,
            )
            answer = await users.http.post("/replays", json={})
            assert answer.status_code == 202
            await orders.until(
                "SELECT id, is_active, version FROM customers ORDER BY id",
                [(ada, True, 7), (grace, False, 3)],
            )
            await notifications.until(
                "SELECT user_id, email, full_name, version FROM recipients ORDER BY user_id",
                [(ada, None, "Ada L.", 8), (grace, "grace@example.com", "Grace", 3)],
            )
            for one in (orders, notifications):
                assert await one.query("SELECT count(*) FROM parked_messages") == [(0,)]
        (state,) = (await users.http.get("/replays")).json()["items"]
        assert (state["snapshot"], state["emitted"]) == ("user.snapshot.v1", 2)
        assert state["finished_at"] is not None
