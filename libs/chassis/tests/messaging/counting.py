"""The tests' own service: it raises counters, publishes that, and stores what it consumes."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Table, Text, column, insert, table, text

from chassis.database import service_metadata
from chassis.database.unit import Unit
from chassis.jobs import declare_job_tables
from chassis.messaging import (
    Delivery,
    Outbox,
    Subscription,
    Subscriptions,
    declare_messaging_tables,
)
from chassis.messaging.consuming.subscriptions import Finish
from chassis.operations.replays import Snapshot
from chassis.process import Process, run_worker
from chassis.service import Composition, Service, common_only
from chassis.settings import load
from chassis.wiring import ServiceResources, ServiceSettings
from chassis.worker import create_worker

SERVICE = "counters"
SOURCE = f"/tests/{SERVICE}"
FREEZE = "freeze the process that handles this"
metadata = service_metadata()
declare_messaging_tables(metadata)
declare_job_tables(metadata)
Table("counters", metadata, Column("name", Text, primary_key=True), Column("value", BigInteger))
Table(
    "effects",
    metadata,
    Column("place", BigInteger, Identity(always=True), primary_key=True),
    Column("counter", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("event_id", Text),
)
_effects = table("effects", column("counter"), column("number"), column("event_id"))


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    retention: timedelta = timedelta(days=3)
    publish_delay: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True)
class CounterRaised:
    type: ClassVar[str] = "counter.raised.v1"
    topic: ClassVar[Any] = Topic("counters")

    counter: str
    number: int
    filler: str = ""

    @property
    def key(self) -> str:
        return self.counter

    @property
    def subject(self) -> str:
        return self.counter

    @property
    def sequence(self) -> int | None:
        return self.number

    def to_json(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        return cls(**json.loads(data))


@dataclass(frozen=True, kw_only=True)
class CounterAdmired(CounterRaised):
    """An event that the service does not need."""

    type: ClassVar[str] = "counter.admired.v1"


@dataclass(frozen=True, kw_only=True)
class CounterAudited(CounterRaised):
    """An event on a separate topic."""

    type: ClassVar[str] = "counter.audited.v1"
    topic: ClassVar[Any] = Topic("audits")


@dataclass(frozen=True, kw_only=True)
class CounterSnapshot(CounterRaised):
    """The present state of a counter, for a replay."""

    type: ClassVar[str] = "counter.snapshot.v1"
    snapshot: ClassVar[bool] = True


type Handler = Callable[[CounterRaised, Delivery[Any]], Awaitable[None]]


async def record(event: CounterRaised, delivery: Delivery[Any]) -> None:
    """Store an event; this effect must happen once."""
    await delivery.unit.session.execute(
        insert(_effects),
        {"counter": event.counter, "number": event.number, "event_id": delivery.message.id},
    )


def subscriptions(
    handler: Handler = record, *, finish: Finish[Any] | None = None, **options: Any
) -> Subscriptions[Any]:
    return Subscriptions(
        handled=[
            Subscription(CounterRaised, handler, **options),
            Subscription(CounterSnapshot, record),
        ],
        ignored=[CounterAdmired],
        finish=finish,
    )


async def raise_counter(unit: Unit, outbox: Outbox, name: str, *, filler: str = "") -> int:
    """Raise a counter under its row's lock, and publish the event."""
    number = await unit.session.scalar(
        text(
            "INSERT INTO counters VALUES (:name, 1)"
            " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
        ),
        {"name": name},
    )
    assert isinstance(number, int)
    outbox.add(CounterRaised(counter=name, number=number, filler=filler))
    return number


async def snapshot_page(
    unit: Unit, resources: ServiceResources, after: UUID | None, limit: int
) -> list[CounterSnapshot]:
    """Return snapshots of counters in the order of their names, which are ids here."""
    del resources
    rows = await unit.session.execute(
        text(
            "SELECT name, value FROM counters WHERE cast(:after AS text) IS NULL OR name > :after"
            " ORDER BY name LIMIT :limit FOR NO KEY UPDATE"
        ),
        {"after": None if after is None else str(after), "limit": limit},
    )
    return [CounterSnapshot(counter=row.name, number=row.value) for row in rows]


async def record_slowly(event: CounterRaised, delivery: Delivery[Any]) -> None:
    """Be slow enough to be killed in the middle; an event may request a freeze there."""
    await record(event, delivery)
    if event.filler == FREEZE:
        os.kill(os.getpid(), signal.SIGSTOP)
    await asyncio.sleep(0.005)


def service(
    handler: Callable[..., Any] = record, extend: Callable[..., Any] | None = None
) -> Service[ServiceResources]:
    """Return the declaration of the counting service; `extend` opens more for its worker."""
    common = common_only(ServiceSettings)
    return Service(
        name=SERVICE,
        title="Counters",
        metadata=metadata,
        worker=common if extend is None else Composition(settings=ServiceSettings, extend=extend),
        subscriptions=subscriptions(handler),
        snapshots=[Snapshot(CounterSnapshot, snapshot_page)],
    )


def main() -> None:
    settings = load(ServiceSettings)
    process = Process(name=f"{SERVICE}-worker", settings=settings)
    run_worker(process, create_worker(service(record_slowly), settings, process))


if __name__ == "__main__":
    main()
