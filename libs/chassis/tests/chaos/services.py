"""Two services of the test suite, run as worker processes.

`ledger` has accounts, and publishes each change of an account. `tally` consumes these events,
stores an effect for each, and publishes that in turn. Its handler fails in three ways: at random, a
fixed number of times for some events, and always for a few.

The ledger also runs jobs.
"""

import asyncio
import json
import random
import sys
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self

from sqlalchemy import BigInteger, Column, Identity, Index, Table, Text, Uuid, text

from chassis.database import service_metadata
from chassis.database.unit import Unit
from chassis.early_stop import exit_on_sigterm
from chassis.jobs import JobKinds, declare_job_tables
from chassis.jobs.worker import JobPace
from chassis.messaging import (
    Delivery,
    FailurePolicy,
    Outbox,
    Subscription,
    Subscriptions,
    declare_messaging_tables,
)
from chassis.process import Process, run_worker
from chassis.service import Service, common_only
from chassis.settings import load
from chassis.wiring import ServiceResources, ServiceSettings
from chassis.worker import create_worker

from .job_kinds import JOBS, LEASE_SECONDS, PAUSE_ONE_IN, declare_chaos_tables

LEDGER, TALLY = "ledger", "tally"
BEGUN = "the process handles SIGTERM"
DOOMED = {f"doomed-{number}": 3 + number for number in range(3)}
CHANCE = 0.004
STUBBORN_ONE_IN = 150
STUBBORN_ATTEMPTS = 3
FAILURE = FailurePolicy(attempts=30, first_delay=0.2, longest_delay=1.0)
DOOM = FailurePolicy(attempts=2, first_delay=0.1)

ledger = service_metadata()
declare_messaging_tables(ledger)
declare_job_tables(ledger)
Table("accounts", ledger, Column("name", Text, primary_key=True), Column("version", BigInteger))
# No constraint here or on effects: a duplicate must be stored and seen, not rejected.
Table(
    "commits",
    ledger,
    Column("aggregate", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False),
)
declare_chaos_tables(ledger)

tally = service_metadata()
declare_messaging_tables(tally)
declare_job_tables(tally)
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
    publish_delay: timedelta = timedelta()


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
    """Like AccountChanged, but with few attempts."""

    type: ClassVar[str] = "account.doomed.v1"
    topic: ClassVar[Any] = Topic("accounts")


class ChangeSeen(_Step):
    type: ClassVar[str] = "change.seen.v1"
    topic: ClassVar[Any] = Topic("receipts")


async def change(unit: Unit, outbox: Outbox, aggregate: str) -> None:
    """Change an account under its row's lock, record the change, and publish it."""
    version = await unit.session.scalar(
        text(
            "INSERT INTO accounts VALUES (:name, 1) ON CONFLICT (name)"
            " DO UPDATE SET version = accounts.version + 1 RETURNING version"
        ),
        {"name": aggregate},
    )
    assert isinstance(version, int)
    kind = AccountDoomed if aggregate in DOOMED else AccountChanged
    event_id = outbox.add(kind(aggregate=aggregate, version=version))
    await unit.session.execute(
        text("INSERT INTO commits VALUES (:aggregate, :version, :event_id)"),
        {"aggregate": aggregate, "version": version, "event_id": event_id},
    )


class RefusedError(Exception):
    """The handler raises this on purpose."""


async def _refuse(event: _Step, delivery: Delivery[ServiceResources]) -> None:
    """Fail always, at random, or a fixed number of times, by the attempts that parking stored."""
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
        attempts = await delivery.unit.session.scalar(found, {"id": delivery.message.id}) or 0
        if attempts < STUBBORN_ATTEMPTS:
            message = f"failure {attempts + 1} of {STUBBORN_ATTEMPTS}"
            raise RefusedError(message)


async def _take_effect(event: _Step, delivery: Delivery[ServiceResources]) -> None:
    receipt = delivery.resources.outbox(delivery.unit).add(
        ChangeSeen(aggregate=event.aggregate, version=event.version)
    )
    await delivery.unit.session.execute(
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
    """Store the effect. Half of the failures come after it, and must roll it back."""
    early = random.random() < 0.5
    if early:
        await _refuse(event, delivery)
    await _take_effect(event, delivery)
    if random.randrange(PAUSE_ONE_IN) == 0:
        await asyncio.sleep(0.05)  # so that faults hit an open transaction
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
    """Run one worker. `name` distinguishes its connections from those of other workers."""
    exit_on_sigterm(status=0)
    print(BEGUN, flush=True)
    random.seed(seed)
    settings = load(ServiceSettings)
    process = Process(name=name, settings=settings)
    declared = Service(
        name=service,
        title=service,
        metadata={LEDGER: ledger, TALLY: tally}[service],
        worker=common_only(ServiceSettings),
        subscriptions=SUBSCRIPTIONS[service],
        jobs={LEDGER: JOBS, TALLY: JobKinds[ServiceResources]()}[service],
    )
    pace = JobPace(lease_seconds=LEASE_SECONDS)
    run_worker(process, create_worker(declared, settings, process, job_pace=pace))


if __name__ == "__main__":
    main(*sys.argv[1:])
