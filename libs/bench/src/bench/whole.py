"""The whole system: all processes between a customer's request and the push."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from bench.machine import cpu_seconds, cpu_seconds_of_all
from bench.rig import Rig, User
from bench.shop import fill_catalogue, start_database
from contracts import TOPICS
from localservers import KafkaServer, PostgresServer
from localservers.ports import free_port
from slipway.errors import SlipwayError
from slipway.local.program import Program
from slipway.operate.database import Database
from slipway.operate.topics import TopicDeclaration, Topics

_PROCESSES = ("orders", "orders-worker", "notifications", "notifications-worker", "gateway")
# The only extra setting of the server: it records when each transaction committed.
_SETTINGS = {"track_commit_timestamp": "on"}
_TIMES = """
    SELECT o.id,
        extract(epoch FROM pg_xact_commit_timestamp(o.xmin))::float AS placed,
        extract(epoch FROM pg_xact_commit_timestamp(n.xmin))::float AS noted
    FROM orders.orders AS o
    JOIN notifications.notifications AS n ON (n.data->>'order_id')::uuid = o.id
    WHERE o.id = ANY($1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """The commit times of an order's two transactions: its own, and that of its notification."""

    placed: float
    noted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The running system, with a catalogue.

    Attributes:
        postgres: the server.
        database: its database.
        kafka: the broker.
        programs: the processes, by name.
        customers: who may order, and follow their feed.
        products: ids.
    """

    postgres: PostgresServer
    database: Database
    kafka: KafkaServer
    programs: Mapping[str, Program]
    customers: Sequence[User]
    products: Sequence[UUID]

    @property
    def gateway_url(self) -> str:
        """Return the gateway's address."""
        return self.programs["gateway"].spec.address

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU seconds of each process and server so far."""
        taken = {name: cpu_seconds(program) for name, program in self.programs.items()}
        for name, server in (("PostgreSQL", self.postgres), ("Kafka", self.kafka)):
            if server.pid is None:
                message = f"{name} has exited. See {server.log_file}."
                raise SlipwayError(message)
            taken[name] = cpu_seconds_of_all(server.pid)
        return taken

    async def commits(self, orders: Sequence[UUID]) -> dict[UUID, Commits]:
        """Return the commit times of these orders and of their notifications."""
        rows = await self._query(_TIMES, orders)
        return {row["id"]: Commits(placed=row["placed"], noted=row["noted"]) for row in rows}

    async def postgres_version(self) -> str:
        """Return the server's version."""
        (row,) = await self._query("SHOW server_version")
        return str(row[0])

    async def _query(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.postgres.url(database=self.database.name))
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()


async def open_whole(
    rig: Rig, *, customers: int, products: int, topics: Sequence[TopicDeclaration] = ()
) -> Whole:
    """Start the system, durable as in production, with `topics` besides the contracts'."""
    postgres, database = await start_database(rig, _SETTINGS)
    kafka = KafkaServer(directory=rig.state.servers / "kafka", port=rig.settings.kafka_port)
    await rig.serve(kafka)
    await Topics.of(rig.settings, (*TOPICS, *topics)).apply()
    await rig.serve(rig.valkey())
    sink = await rig.run(rig.module("upstream", free_port()))
    shared = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.spec.address}
    async with asyncio.TaskGroup() as group:  # each takes seconds, most of them of one core
        starting = [
            group.create_task(rig.run(rig.process(name, database, **shared))) for name in _PROCESSES
        ]
    programs = {one.name: one for one in (task.result() for task in starting)}
    with rig.reporter.step(f"{products} products"):
        ids = await fill_catalogue(rig, programs["gateway"].spec.address, products)
    return Whole(
        postgres=postgres,
        database=database,
        kafka=kafka,
        programs=programs,
        customers=await rig.users(customers, "orders:write", "notifications:read"),
        products=ids,
    )
