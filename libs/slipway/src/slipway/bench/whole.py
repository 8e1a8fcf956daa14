"""The whole way of an order: all processes between a customer's request and the push to him."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from chassis.servers import KafkaServer, PostgresServer
from chassis.servers.base import free_port
from contracts import TOPICS
from slipway.bench.machine import cpu_seconds, cpu_seconds_of_all
from slipway.bench.rig import Rig, User
from slipway.bench.shop import fill_catalogue, start_database
from slipway.database import Database
from slipway.errors import SlipwayError
from slipway.program import Program
from slipway.topics import TopicDeclaration, Topics

_PROCESSES = ("orders", "orders-worker", "notifications", "notifications-worker", "gateway")
# Nothing else is asked of the server: it notes when each transaction committed.
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
    """When an order's two transactions committed: its own, and that of its notification."""

    placed: float
    noted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """It runs, with a catalogue.

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
        """Where customers go."""
        return self.programs["gateway"].spec.address

    def cpu_seconds(self) -> dict[str, float]:
        """Of CPU that each process has taken so far, and each server."""
        taken = {name: cpu_seconds(program) for name, program in self.programs.items()}
        for name, server in (("PostgreSQL", self.postgres), ("Kafka", self.kafka)):
            if server.pid is None:
                message = f"{name} has ended: see {server.log_file}"
                raise SlipwayError(message)
            taken[name] = cpu_seconds_of_all(server.pid)
        return taken

    async def commits(self, orders: Sequence[UUID]) -> dict[UUID, Commits]:
        """Ask the database when these orders were committed, and their notifications."""
        rows = await self._query(_TIMES, orders)
        return {row["id"]: Commits(placed=row["placed"], noted=row["noted"]) for row in rows}

    async def postgres_version(self) -> str:
        """The server's."""
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
    """Start it, durable as in production; `topics` are made beside those of the contracts."""
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
