"""The tests' own service: it raises counters, announces that, and keeps what it hears of it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Table, Text, column, insert, table, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database import service_metadata
from chassis.messaging import (
    Delivery,
    Outbox,
    Subscription,
    Subscriptions,
    declare_messaging_tables,
)
from chassis.operations.replays import Snapshot
from chassis.process import Process, run_worker
from chassis.settings import load
from chassis.wiring import ServiceResources, ServiceSettings, open_service
from chassis.worker import create_worker

SERVICE = "counters"
SOURCE = f"/tests/{SERVICE}"
FREEZE = "freeze the process that handles this"
metadata = service_metadata()
declare_messaging_tables(metadata)
Table("counters", metadata, Column("name", Text, primary_key=True), Column("value", BigInteger))
Table(
    "effects",
    metadata,
    Column("place", BigInteger, Identity(always=True), primary_key=True),
    Column("counter", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
)
_effects = table("effects", column("counter"), column("number"))


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    retention: timedelta = timedelta(days=3)


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
    """An event on a topic of its own."""

    type: ClassVar[str] = "counter.audited.v1"
    topic: ClassVar[Any] = Topic("audits")


@dataclass(frozen=True, kw_only=True)
class CounterSnapshot(CounterRaised):
    """All of a counter, for who asks anew."""

    type: ClassVar[str] = "counter.snapshot.v1"


type Handler = Callable[[CounterRaised, Delivery[Any]], Awaitable[None]]


async def record(event: CounterRaised, delivery: Delivery[Any]) -> None:
    """The effect that an event must have once."""
    await delivery.session.execute(
        insert(_effects), {"counter": event.counter, "number": event.number}
    )


def subscriptions(handler: Handler = record, **options: Any) -> Subscriptions[Any]:
    return Subscriptions(
        handled=[
            Subscription(CounterRaised, handler, **options),
            Subscription(CounterSnapshot, record),
        ],
        ignored=[CounterAdmired],
    )


async def raise_counter(
    session: AsyncSession, outbox: Outbox, name: str, *, filler: str = ""
) -> int:
    """Raise a counter under its row's lock, and announce it."""
    number = await session.scalar(
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
    session: AsyncSession, resources: ServiceResources, after: UUID | None, limit: int
) -> list[CounterSnapshot]:
    """What counters are at present, in the order of their names, which are ids here."""
    del resources
    rows = await session.execute(
        text(
            "SELECT name, value FROM counters WHERE cast(:after AS text) IS NULL OR name > :after"
            " ORDER BY name LIMIT :limit FOR NO KEY UPDATE"
        ),
        {"after": None if after is None else str(after), "limit": limit},
    )
    return [CounterSnapshot(counter=row.name, number=row.value) for row in rows]


@asynccontextmanager
async def open_resources(process: Process) -> AsyncIterator[ServiceResources]:
    assert isinstance(process.settings, ServiceSettings)
    async with open_service(process.settings, process, service=SERVICE) as resources:
        yield resources


async def record_slowly(event: CounterRaised, delivery: Delivery[Any]) -> None:
    """Take long enough to be killed in the middle of it; an event may ask to be frozen there."""
    await record(event, delivery)
    if event.filler == FREEZE:
        os.kill(os.getpid(), signal.SIGSTOP)
    await asyncio.sleep(0.005)


def main() -> None:
    settings = load(ServiceSettings)
    process = Process(name=f"{SERVICE}-worker", settings=settings)
    worker = create_worker(
        process=process,
        settings=settings,
        open_resources=open_resources,
        subscriptions=subscriptions(record_slowly),
        snapshots=[Snapshot(CounterSnapshot, snapshot_page)],
    )
    run_worker(process, worker)


if __name__ == "__main__":
    main()
