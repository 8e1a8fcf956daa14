"""Events through relay and consumer, beside loops of plain aiokafka on the same broker.

The loops have no outbox, no inbox, no tables and no failures. The difference in speed is the cost
of the guarantees.
"""

import asyncio
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from bench.events import SERVICE, TOPIC, Base
from bench.machine import cpu_seconds, pss_megabytes, python_versions
from bench.results import Finding, Line
from bench.rig import Rig
from bench.rounds import Pace, Ratio, Sample, Samples, Side, rate, ratio, take_turns
from bench.sides import PLACE, THINGS
from bench.tools import output_of
from chassis.database.engine import asyncpg_url
from chassis.database.roles import bootstrap
from chassis.role_names import owner_role, runtime_role
from localservers import KafkaServer, PostgresServer
from slipway.errors import SlipwayError
from slipway.local.program import ProgramSpec
from slipway.operate.topics import Topics
from slipway.settings import HOST

RELAY = "relay"
CONSUMER = "consumer"
PRODUCER_LOOP = "plain aiokafka producer loop"
CONSUMER_ORM = "consumer, each row by the ORM"
CONSUMER_LOOP = "plain aiokafka consumer loop"
_RELAY_BAR = 20_000
_CONSUMER_BAR = 15_000
_MEMORY_BAR = 120
_MILLION = 1_000_000
_MOST_A_SECOND = 120_000
_STALLED_SECONDS = 60
_FILL_SECONDS = 300
_MEGABYTE = 1_000_000
_PACKAGES = ("aiokafka", "asyncpg", "sqlalchemy", "pydantic", "uvloop")

# As the outbox writes it: headers of CloudEvents with a trace that is not sampled.
_FILL = """
    INSERT INTO outbox (id, topic, key, type, headers, payload)
    SELECT uuidv7(), $2::text, thing, 'thing.moved.v1',
           jsonb_build_object(
               'ce_specversion', '1.0', 'ce_id', uuidv7(), 'ce_source', $3::text,
               'ce_type', 'thing.moved.v1', 'ce_subject', thing,
               'ce_time', '2026-01-01T00:00:00.000000Z', 'content-type', 'application/json',
               'ce_sequence', lpad(version::text, 20, '0'),
               'traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'),
           convert_to(json_build_object(
               'version', version, 'thing_id', thing, 'place', $4::text)::text, 'utf8')
    FROM (SELECT n / $5::bigint + 1 AS version,
                 lpad(to_hex(n % $5::bigint + 1), 32, '0')::uuid::text AS thing
          FROM generate_series(0, $1::bigint - 1) AS n) AS one
"""
_METHOD = f"""\
Events of {THINGS} things on a topic of {TOPIC.partitions} partitions, each some 100 bytes of data
and nine headers. PostgreSQL (durable), the one broker and the process under test share the machine.
"""
_CONSUMER_METHOD = """\
Each round is a consumer group of its own, which begins at the start. The effect of an event is one
row. Handlers collect the rows and one statement writes those of a batch at its end, as in the
notifications service; in the other side each handler adds its row to SQLAlchemy's session.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """PostgreSQL with the measured service's schema, and Kafka with its topic."""

    postgres: PostgresServer
    kafka: KafkaServer
    runtime_url: str

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a side's process."""
        return {
            **os.environ,
            "DATABASE_URL": self.runtime_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
        }

    async def side(self, name: str, seconds: float, *, events: float = math.inf) -> Sample:
        """Run one side in a separate process; void if it ran out of `events`."""
        module = "bench.sides"
        output = await output_of(
            sys.executable, "-m", module, name, f"{seconds:g}", environment=self.environment
        )
        found = json.loads(output.splitlines()[-1])
        if found["all"] >= events:
            message = (
                f"{name} ran out of its {events} events, so the round is void. Run the row again."
            )
            raise SlipwayError(message)
        return Sample(
            operations=round(found["operations"]), seconds=found["seconds"], cpu=found["cpu"]
        )

    async def relay(self, seconds: float) -> Sample:
        """Fill the outbox, and run the relay; void if it emptied the outbox."""
        rows = round(seconds * _MOST_A_SECOND)
        await self.fill(rows)
        return await self.side(RELAY, seconds, events=rows)

    async def fill(self, rows: int) -> None:
        """Fill the outbox with exactly `rows` events, however long that takes."""
        unlimited = {"transaction_timeout": "0", "statement_timeout": "0"}
        connection = await asyncpg.connect(self.runtime_url, server_settings=unlimited)
        try:
            await connection.execute("DELETE FROM outbox")
            source = f"/{SERVICE}"
            await connection.execute(
                _FILL, rows, TOPIC.name, source, PLACE, THINGS, timeout=_FILL_SECONDS
            )
        finally:
            await connection.close()

    async def ask(self, sql: str) -> int:
        """Return the number that a query of the service's schema returns."""
        connection = await asyncpg.connect(self.runtime_url)
        try:
            return int(await connection.fetchval(sql))
        finally:
            await connection.close()


async def open_backbone(rig: Rig) -> Backbone:
    """Start the servers, and create schema and topic."""
    directory, settings = rig.state.servers, rig.settings
    superuser, owner, runtime = token_hex(), token_hex(), token_hex()
    postgres = PostgresServer(
        directory=directory / "postgres", port=settings.postgres_port, password=superuser
    )
    kafka = KafkaServer(directory=directory / "kafka", port=settings.kafka_port)
    await rig.serve(postgres)
    await rig.serve(kafka)
    connection = await asyncpg.connect(postgres.url())
    try:
        await bootstrap(connection, SERVICE, owner_password=owner, runtime_password=runtime)
    finally:
        await connection.close()
    place = f"{HOST}:{settings.postgres_port}/postgres"
    engine = create_async_engine(asyncpg_url(f"postgresql://{owner_role(SERVICE)}:{owner}@{place}"))
    try:
        async with engine.begin() as tables:
            await tables.run_sync(Base.metadata.create_all)
    finally:
        await engine.dispose()
    await Topics(bootstrap_servers=kafka.bootstrap_servers, declared=(TOPIC,)).apply()
    return Backbone(
        postgres=postgres,
        kafka=kafka,
        runtime_url=f"postgresql://{runtime_role(SERVICE)}:{runtime}@{place}",
    )


async def measure_relay(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    return await compare_relay(rig, await open_backbone(rig), pace)


async def compare_relay(rig: Rig, backbone: Backbone, pace: Pace) -> Finding:
    """Measure the relay and a plain producer in turns."""
    sides: dict[str, Side] = {
        RELAY: backbone.relay,
        PRODUCER_LOOP: partial(backbone.side, "plain-producer"),
    }
    samples = await take_turns(sides, pace, rig.reporter.say)
    return finding_of(
        title="The relay",
        what="relay, one process, in order",
        samples=samples,
        ours=RELAY,
        peer=PRODUCER_LOOP,
        bar=_RELAY_BAR,
        method=f"{_METHOD}\nThe relay finds an outbox full of rows; what it published it deletes.",
    )


async def measure_consumer(rig: Rig, pace: Pace) -> Finding:
    """Measure the row."""
    return await compare_consumer(rig, await open_backbone(rig), pace)


async def compare_consumer(rig: Rig, backbone: Backbone, pace: Pace) -> Finding:
    """Measure the consumer and a plain one in turns."""
    events = round(pace.seconds * _MOST_A_SECOND)
    with rig.reporter.step("events on the topic"):
        await backbone.side("fill", events)
    sides: dict[str, Side] = {
        CONSUMER: partial(backbone.side, CONSUMER, events=events),
        CONSUMER_ORM: partial(backbone.side, "consumer-orm", events=events),
        CONSUMER_LOOP: partial(backbone.side, "plain-consumer", events=events),
    }
    samples = await take_turns(sides, pace, rig.reporter.say)
    return finding_of(
        title="The consumer",
        what="consumer with inbox, validation and one row of effect, one process",
        samples=samples,
        ours=CONSUMER,
        peer=CONSUMER_LOOP,
        bar=_CONSUMER_BAR,
        method=f"{_METHOD}\n{_CONSUMER_METHOD}",
    )


async def measure_memory(rig: Rig, pace: Pace) -> Finding:
    """Let one worker publish a million events and consume each of them."""
    del pace  # as long as it takes
    return await fill_worker(rig, await open_backbone(rig), events=_MILLION)


async def fill_worker(rig: Rig, backbone: Backbone, *, events: int) -> Finding:
    """Run a worker, and measure its memory."""
    with rig.reporter.step(f"{events:,} rows in the outbox"):
        await backbone.fill(events)
    worker = await rig.run(_worker(rig, backbone))
    loop = asyncio.get_running_loop()
    began = loop.time()
    with rig.reporter.step(f"{events:,} events through one worker"):
        await _until_met(backbone, events)
    memory = pss_megabytes(worker)
    sample = Sample(operations=events, seconds=loop.time() - began, cpu=cpu_seconds(worker))
    outbox = await backbone.ask("SELECT pg_total_relation_size('outbox')") / _MEGABYTE
    return Finding(
        title="A worker's memory",
        lines=[
            Line(
                what="memory (PSS) of a worker after a million events",
                measured=Ratio.of([memory]),
                unit="MB",
                bar=_MEMORY_BAR,
                plain=True,
                at_most=True,
            )
        ],
        method=f"{_METHOD}\nOne worker process (relay, consumer, retries, health, metrics) "
        f"publishes {events:,} events of its outbox and takes each of them in, with an effect.",
        samples={"worker": [sample]},
        notes=[f"The outbox, empty again, takes {outbox:.1f} MB on disk."],
        versions=_versions(),
    )


async def _until_met(backbone: Backbone, events: int) -> None:
    met, before, since = 0, 0, 0
    while await backbone.ask("SELECT count(*) FROM outbox") or met < events:
        met = await backbone.ask("SELECT count(*) FROM inbox WHERE consumer = 'bench'")
        since = 0 if met > before else since + 1
        if since > _STALLED_SECONDS:
            message = f"The worker stopped at {met} of {events} events. See its log."
            raise SlipwayError(message)
        before = met
        await asyncio.sleep(1)


def _worker(rig: Rig, backbone: Backbone) -> ProgramSpec:
    address = f"http://{HOST}:{rig.settings.port_of('orders-worker', 'internal_port')}"
    return ProgramSpec(
        name="bench-worker",
        command=(sys.executable, "-m", "bench.events"),
        environment={
            **backbone.environment,
            "ENVIRONMENT": "development",
            "AUTH_JWKS_FILE": str(rig.jwks_file),
            "INTERNAL_PORT": str(rig.settings.port_of("orders-worker", "internal_port")),
        },
        directory=rig.root,
        address=address,
        ready_url=f"{address}/healthz/ready",
    )


def finding_of(
    *, title: str, what: str, samples: Samples, ours: str, peer: str, bar: int, method: str
) -> Finding:
    """Compare the rates of `ours` with the bar, and with its peer."""
    return Finding(
        title=title,
        lines=[
            Line(
                what=what,
                measured=rate(samples[ours]),
                unit="events/s",
                bar=bar,
                plain=True,
            )
        ],
        method=method,
        samples=samples,
        notes=[_cost(samples, ours, peer)],
        versions=_versions(),
    )


def _cost(samples: Samples, ours: str, peer: str) -> str:
    share = ratio(samples[ours], samples[peer])
    return (
        f"The {ours} does {share.value:.2f} of what a {peer} does ({share.low:.2f} to "
        f"{share.high:.2f})."
    )


def _versions() -> Sequence[tuple[str, str]]:
    return python_versions(*_PACKAGES)
