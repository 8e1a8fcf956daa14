"""Two services of the suite's own, run by path as worker processes.

`ledger` has accounts, and announces each change of one. `tally` hears of it, keeps an effect, and
announces that in turn. Its handler fails in three ways: now and then, so many times for some
events, and for ever for a few.
"""

import asyncio
import json
import random
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text, Uuid, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database import service_metadata
from chassis.messaging import (
    Delivery,
    FailurePolicy,
    Outbox,
    Subscription,
    Subscriptions,
    declare_messaging_tables,
)
from chassis.process import Process, run_worker
from chassis.settings import load
from chassis.wiring import ServiceResources, ServiceSettings, open_service
from chassis.worker import create_worker

LEDGER, TALLY = "ledger", "tally"
DOOMED = {f"doomed-{number}": 3 + number for number in range(3)}
CHANCE = 0.004
STUBBORN_ONE_IN = 150
STUBBORN_ATTEMPTS = 3
PAUSE_ONE_IN = 50
FAILURE = FailurePolicy(attempts=30, first_delay=0.2, longest_delay=1.0)
DOOM = FailurePolicy(attempts=2, first_delay=0.1)

ledger = service_metadata()
declare_messaging_tables(ledger)
Table("accounts", ledger, Column("name", Text, primary_key=True), Column("version", BigInteger))
# No constraint here or on effects: a double must be seen, not refused.
Table(
    "commits",
    ledger,
    Column("aggregate", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False),
)

tally = service_metadata()
declare_messaging_tables(tally)
Table(
    "effects",
    tally,
    Column("place", BigInteger, Identity(always=True), primary_key=True),
    Column("aggregate", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("before", BigInteger, nullable=False),
    Column("receipt_id", Uuid, nullable=False),
    Index("ix_effects_aggregate", "aggregate"),
)


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    retention: timedelta = timedelta(days=3)


@dataclass(frozen=True, kw_only=True)
class _Step:
    aggregate: str
    version: int

    @property
    def key(self) -> str:
        return self.aggregate

    @property
    def subject(self) -> str:
        return self.aggregate

    @property
    def sequence(self) -> int | None:
        return self.version

    def to_json(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        return cls(**json.loads(data))


class AccountChanged(_Step):
    type: ClassVar[str] = "account.changed.v1"
    topic: ClassVar[Any] = Topic("accounts")


class AccountDoomed(_Step):
    """As AccountChanged, but given up soon."""

    type: ClassVar[str] = "account.doomed.v1"
    topic: ClassVar[Any] = Topic("accounts")


class ChangeSeen(_Step):
    type: ClassVar[str] = "change.seen.v1"
    topic: ClassVar[Any] = Topic("receipts")


async def change(session: AsyncSession, outbox: Outbox, aggregate: str) -> None:
    """Change an account under its row's lock, note that, and announce it."""
    version = await session.scalar(
        text(
            "INSERT INTO accounts VALUES (:name, 1) ON CONFLICT (name)"
            " DO UPDATE SET version = accounts.version + 1 RETURNING version"
        ),
        {"name": aggregate},
    )
    assert isinstance(version, int)
    kind = AccountDoomed if aggregate in DOOMED else AccountChanged
    event_id = outbox.add(kind(aggregate=aggregate, version=version))
    await session.execute(
        text("INSERT INTO commits VALUES (:aggregate, :version, :event_id)"),
        {"aggregate": aggregate, "version": version, "event_id": event_id},
    )


class RefusedError(Exception):
    """What the handler raises on purpose."""


async def _refuse(event: _Step, delivery: Delivery[ServiceResources]) -> None:
    """Fail for ever, by chance, or so many times: parking has written how many there were."""
    if event.aggregate in DOOMED:
        if event.version >= DOOMED[event.aggregate]:
            message = "this one is refused for ever"
            raise RefusedError(message)
        return
    if random.random() < CHANCE:
        message = "a failure by chance"
        raise RefusedError(message)
    if zlib.crc32(delivery.message.id.encode()) % STUBBORN_ONE_IN == 0:
        found = text("SELECT attempts FROM parked_messages WHERE id = :id")
        attempts = await delivery.session.scalar(found, {"id": delivery.message.id}) or 0
        if attempts < STUBBORN_ATTEMPTS:
            message = f"failure {attempts + 1} of {STUBBORN_ATTEMPTS}"
            raise RefusedError(message)


async def _take_effect(event: _Step, delivery: Delivery[ServiceResources]) -> None:
    receipt = delivery.resources.outbox(delivery.session).add(
        ChangeSeen(aggregate=event.aggregate, version=event.version)
    )
    await delivery.session.execute(
        text(
            "INSERT INTO effects (aggregate, version, event_id, before, receipt_id)"
            " SELECT :aggregate, :version, :event_id, count(*), :receipt_id"
            " FROM effects WHERE aggregate = :aggregate"
        ),
        {
            "aggregate": event.aggregate,
            "version": event.version,
            "event_id": delivery.message.id,
            "receipt_id": receipt,
        },
    )


async def count(event: _Step, delivery: Delivery[ServiceResources]) -> None:
    """Take effect; half of the failures come after the effect, which must not stay then."""
    early = random.random() < 0.5
    if early:
        await _refuse(event, delivery)
    await _take_effect(event, delivery)
    if random.randrange(PAUSE_ONE_IN) == 0:
        await asyncio.sleep(0.05)  # so that faults meet a transaction that is open
    if not early:
        await _refuse(event, delivery)


SUBSCRIPTIONS: dict[str, Subscriptions[ServiceResources]] = {
    LEDGER: Subscriptions(handled=[]),
    TALLY: Subscriptions(
        handled=[
            Subscription(AccountChanged, count, failure=FAILURE),
            Subscription(AccountDoomed, count, failure=DOOM),
        ]
    ),
}


def main(service: str, name: str, seed: str) -> None:
    """Run one worker; `name` tells its connections from those of its like."""
    random.seed(seed)
    settings = load(ServiceSettings)
    process = Process(name=name, settings=settings)

    @asynccontextmanager
    async def open_resources(process: Process) -> AsyncIterator[ServiceResources]:
        async with open_service(settings, process, service=service) as resources:
            yield resources

    worker = create_worker(
        process=process,
        settings=settings,
        open_resources=open_resources,
        subscriptions=SUBSCRIPTIONS[service],
    )
    run_worker(process, worker)


if __name__ == "__main__":
    main(*sys.argv[1:])
