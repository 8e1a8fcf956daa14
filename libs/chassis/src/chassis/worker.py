"""The worker factory: a process that relays a service's outbox and consumes its subscriptions."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette

from chassis.messaging.batch import BatchRunner
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consumer import Consumer
from chassis.messaging.metrics import ConsumerMetrics, RelayMetrics
from chassis.messaging.relay import Relay
from chassis.messaging.subscriptions import Subscriptions
from chassis.process import Process
from chassis.wiring import ServiceResources, ServiceSettings


def create_worker[R: ServiceResources](
    *,
    process: Process,
    settings: ServiceSettings,
    open_resources: Callable[[Process], AbstractAsyncContextManager[R]],
    subscriptions: Subscriptions[R],
) -> Starlette:
    """Make the worker of a service: an app for the internal port, whose lifespan does the work.

    Args:
        process: gets relay and consumer as long-lived tasks.
        settings: of the service.
        open_resources: opens what the handlers need.
        subscriptions: what the service consumes; with none, the worker only relays.
    """

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
            )
            process.start(relay.run(), name="relay")
            if subscriptions.topics:
                consumer = _consumer(process, settings, resources, subscriptions)
                process.start(consumer.run(), name="consumer")
            process.health.started()
            yield

    return Starlette(routes=process.internal_routes(), lifespan=lifespan)


def _consumer[R: ServiceResources](
    process: Process,
    settings: ServiceSettings,
    resources: R,
    subscriptions: Subscriptions[R],
) -> Consumer:
    metrics = ConsumerMetrics(process.registry)
    return Consumer(
        service=resources.service,
        kafka=KafkaConnection.of(settings),
        runner=BatchRunner(
            service=resources.service,
            database=resources.database,
            subscriptions=subscriptions,
            resources=resources,
            metrics=metrics,
        ),
        metrics=metrics,
        health=process.health,
        session_seconds=settings.kafka_session_timeout,
    )
