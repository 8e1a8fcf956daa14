"""The worker factory: a process that relays a service's outbox, consumes and runs jobs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from chassis.audit.tables import AUDIT_LOG
from chassis.audit.verification import AuditVerifier
from chassis.jobs.metrics import JobMetrics
from chassis.jobs.retention import Pruning, Retention, chassis_retention
from chassis.jobs.scheduler import Scheduler
from chassis.jobs.sealing import Sealing
from chassis.jobs.worker import JobPace, JobWorker
from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consuming.batch import BatchRunner
from chassis.messaging.consuming.consumer import Consumer
from chassis.messaging.consuming.handling import Handling
from chassis.messaging.consuming.inbox import Inbox
from chassis.messaging.consuming.lag import GroupLag
from chassis.messaging.consuming.parking import Parking
from chassis.messaging.consuming.retries import Retries
from chassis.messaging.consuming.subscriptions import Subscriptions
from chassis.messaging.consuming.watchdog import Watchdog
from chassis.messaging.metrics import ConsumerMetrics, ParkingMetrics, RelayMetrics
from chassis.messaging.publishing.relay import Relay
from chassis.operations.app import PATH, Operations
from chassis.operations.replays import Replays
from chassis.process import Process
from chassis.service import Service
from chassis.wiring import ServiceResources, ServiceSettings

# Kafka deletes whole segments, so a message may outlive its topic's retention by a segment's time.
_MARGIN = timedelta(days=1)


def create_worker[R: ServiceResources](
    service: Service[R],
    settings: ServiceSettings,
    process: Process | None = None,
    *,
    job_pace: JobPace | None = None,
) -> Starlette:
    """Return the worker of a service: an app for the internal port, whose lifespan does the work.

    Args:
        service: the declaration. Without subscriptions the worker does not consume.
        settings: an instance of ``service.worker.settings``.
        process: runs relay, consumer and jobs as long-lived tasks. If omitted, it is made from the
            service's name.
        job_pace: how fast the worker notices jobs.
    """
    process = process or Process(name=f"{service.name}-worker", settings=settings)
    operations = Operations(title=f"Operations of {process.name}", registry=process.registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with process.running(service.open_worker(settings, process)) as resources:
            relay = Relay(
                service=service.name,
                connector=resources.database.direct,
                kafka=KafkaConnection.of(settings),
                metrics=RelayMetrics(process.registry),
                urgent_topics=service.urgent_topics,
            )
            process.start(relay.run(), name="relay")
            if service.subscriptions.topics:
                _start_consuming(process, settings, resources, service.subscriptions)
            _start_jobs(process, service, resources, _retention(service, settings), job_pace)
            replays = Replays(resources=resources, snapshots=service.snapshots)
            process.start(replays.run(), name="replays")
            operations.open(resources, replays, audit=_audit_verifier(service))
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
    lag = GroupLag(
        kafka=kafka,
        group=kafka.topic_prefix + service,
        topics=[kafka.topic_prefix + topic for topic in subscriptions.topics],
        metrics=metrics,
    )
    consumer = Consumer(
        service=service,
        kafka=kafka,
        runner=BatchRunner(service=service, database=database, handling=handling, metrics=metrics),
        watchdog=Watchdog(lag=lag, database=database, metrics=metrics, health=process.health),
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
    process.start(lag.run(), name="lag")
    process.start(consumer.run(), name="consumer")
    process.start(retries.run(), name="retries")


def _start_jobs[R: ServiceResources](
    process: Process,
    service: Service[R],
    resources: R,
    retention: Sequence[Retention],
    pace: JobPace | None,
) -> None:
    database = resources.database
    pruning = Pruning(database=database, retention=retention, registry=process.registry)
    kinds = service.jobs.extended(kinds=[pruning.kind], schedules=pruning.schedules)
    if AUDIT_LOG in service.metadata.tables:
        sealing = Sealing(service=service.name, database=database, registry=process.registry)
        kinds = kinds.extended(kinds=[sealing.kind], schedules=[sealing.schedule])
    worker = JobWorker(
        service=service.name,
        database=database,
        kinds=kinds,
        resources=resources,
        metrics=JobMetrics(process.registry, kinds=kinds.names, queues=kinds.queues),
        scheduler=Scheduler(database=database, schedules=kinds.schedules, jobs=resources.jobs),
        pace=pace,
    )
    process.start(worker.run(), name="jobs")


def _retention(service: Service[Any], settings: ServiceSettings) -> Sequence[Retention]:
    """Return the retentions of the chassis' tables, of the service's, and of what it consumes."""
    retention = [*chassis_retention(service.metadata.tables), *service.retention]
    if service.subscriptions.topics:
        retention.append(_inbox_retention(service))
    for topic, keep in service.subscriptions.discarded_after.items():
        whole = settings.kafka_topic_prefix + topic
        retention.append(_parked_retention(service.name, topic, whole, keep))
    return retention


def _parked_retention(consumer: str, topic: str, whole: str, keep: timedelta) -> Retention:
    """Return the retention of parked messages of a topic, whose whole name has the prefix."""
    parking = Parking(consumer=consumer)
    return Retention(
        name=f"parked_messages of {topic}",
        prune=lambda unit, limit: parking.discard_old(unit, whole, keep=keep, limit=limit),
        every=timedelta(minutes=1),
    )


def _audit_verifier(service: Service[Any]) -> AuditVerifier | None:
    return AuditVerifier() if AUDIT_LOG in service.metadata.tables else None


def _inbox_retention(service: Service[Any]) -> Retention:
    """Return the retention of the inbox: longer than Kafka keeps the message of a row."""
    inbox, keep = Inbox(consumer=service.name), service.subscriptions.retention + _MARGIN
    return Retention(
        name="inbox",
        prune=lambda unit, limit: inbox.prune(unit, keep=keep, limit=limit),
        every=timedelta(minutes=1),
        batch=5000,
    )
