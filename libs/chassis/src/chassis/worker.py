"""The worker factory: a process that relays a service's outbox and consumes its subscriptions."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from starlette.applications import Starlette
from starlette.routing import Mount

from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.consumer import Consumer
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.inbox import Inbox
from chassis.messaging.consuming.retries import Retries
from chassis.messaging.consuming.subscriptions import Subscriptions
from chassis.messaging.consuming.watchdog import Watchdog
from chassis.messaging.metrics import ConsumerMetrics, ParkingMetrics, RelayMetrics
from chassis.messaging.publishing.relay import Relay
from chassis.operations.app import PATH, Operations
from chassis.operations.replays import Replays, Snapshot
from chassis.process import Process
from chassis.wiring import ServiceResources, ServiceSettings

# Kafka deletes whole segments, so a message may outlive its topic's retention by a segment's time.
_MARGIN = timedelta(days=1)


def create_worker[R: ServiceResources](
    *,
    process: Process,
    settings: ServiceSettings,
    open_resources: Callable[[Process], AbstractAsyncContextManager[R]],
    subscriptions: Subscriptions[R],
    urgent_topics: Collection[str] = (),
    snapshots: Collection[Snapshot[R]] = (),
) -> Starlette:
    """Make the worker of a service: an app for the internal port, whose lifespan does the work.

    Args:
        process: gets relay and consumer as long-lived tasks.
        settings: of the service.
        open_resources: opens what the handlers need.
        subscriptions: what the service consumes; with none, the worker only relays.
        urgent_topics: what the service publishes that must not wait behind a backlog of the rest.
        snapshots: what the service can publish anew, for ``slipway replay``.
    """
    operations = Operations(title=f"Operations of {process.name}", registry=process.registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with (
            process.tasks(),
            open_resources(process) as resources,
            process.ending_tasks(),
        ):
            relay = Relay(
                service=resources.service,
                dsn=settings.direct_dsn,
                kafka=KafkaConnection.of(settings),
                metrics=RelayMetrics(process.registry),
                urgent_topics=urgent_topics,
            )
            process.start(relay.run(), name="relay")
            if subscriptions.topics:
                _start_consuming(process, settings, resources, subscriptions)
            replays = Replays(resources=resources, snapshots=snapshots)
            process.start(replays.run(), name="replays")
            operations.open(resources, replays)
            process.health.started()
            yield

    routes = [*process.internal_routes(), Mount(PATH, app=operations.app)]
    return Starlette(routes=routes, lifespan=lifespan)


def _start_consuming[R: ServiceResources](
    process: Process,
    settings: ServiceSettings,
    resources: R,
    subscriptions: Subscriptions[R],
) -> None:
    service, database = resources.service, resources.database
    kafka = KafkaConnection.of(settings)
    metrics = ConsumerMetrics(process.registry)
    handling = Handling(service=service, subscriptions=subscriptions, resources=resources)
    consumer = Consumer(
        service=service,
        kafka=kafka,
        runner=BatchRunner(service=service, database=database, handling=handling, metrics=metrics),
        watchdog=Watchdog(kafka=kafka, database=database, metrics=metrics, health=process.health),
        metrics=metrics,
        health=process.health,
        session_seconds=settings.kafka_session_timeout,
    )
    retries = Retries(
        service=service,
        database=database,
        handling=handling,
        metrics=ParkingMetrics(process.registry),
    )
    process.start(consumer.run(), name="consumer")
    process.start(retries.run(), name="retries")
    process.start(
        Inbox(consumer=service).keep_pruned(database, keep=subscriptions.retention + _MARGIN),
        name="inbox pruning",
    )
