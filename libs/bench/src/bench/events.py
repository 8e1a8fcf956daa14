"""The measured service: it publishes an event for each move, and records each move it consumes.

Run as a program it is a worker like any other: ``python -m bench.events``.
"""

from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.database import service_metadata
from chassis.database.unit import Unit
from chassis.jobs import declare_job_tables
from chassis.messaging import Delivery, Subscription, Subscriptions, declare_messaging_tables
from chassis.process import Process, run_worker
from chassis.service import Service, common_only
from chassis.settings import load
from chassis.wiring import ServiceSettings
from chassis.worker import create_worker
from contracts import Topic

SERVICE = "bench"


TOPIC = Topic(
    name="bench.things",
    producer=SERVICE,
    key="the thing's id",
    partitions=6,
    retention=timedelta(days=1),
    personal_data=False,
)


class ThingMoved(BaseModel):
    """A thing moved."""

    type: ClassVar[str] = "thing.moved.v1"
    topic: ClassVar[Any] = TOPIC

    version: int
    thing_id: UUID
    place: str

    @property
    def key(self) -> str:
        """The thing's id."""
        return str(self.thing_id)

    @property
    def subject(self) -> str:
        """The thing's id."""
        return str(self.thing_id)

    @property
    def sequence(self) -> int | None:
        """The thing's version."""
        return self.version

    def to_json(self) -> bytes:
        """Write the data."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read and validate the data."""
        return cls.model_validate_json(data)


class Base(DeclarativeBase):
    """Tables of the measured service."""

    metadata = service_metadata()


declare_messaging_tables(Base.metadata)
declare_job_tables(Base.metadata)


class Move(Base):
    """The one row that an event's handler writes."""

    __tablename__ = "moves"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    thing_id: Mapped[UUID]
    version: Mapped[int]
    place: Mapped[str]


# One statement for any number of rows, so that it is prepared once.
_RECORD = """
    INSERT INTO moves (thing_id, version, place)
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[])
"""


async def on_moved(event: ThingMoved, delivery: Delivery[Any]) -> None:
    """Have the move recorded."""
    delivery.unit.collected(ThingMoved).append(event)


async def record_moves(unit: Unit, _: object) -> None:
    """Record the moves of this transaction, as the notifications service does it."""
    if moves := unit.collected(ThingMoved):
        things = [move.thing_id for move in moves]
        versions, places = [move.version for move in moves], [move.place for move in moves]
        await unit.execute(_RECORD, things, versions, places)


async def on_moved_orm(event: ThingMoved, delivery: Delivery[Any]) -> None:
    """Record the move by the ORM."""
    delivery.unit.session.add(
        Move(thing_id=event.thing_id, version=event.version, place=event.place)
    )


SUBSCRIPTIONS: Subscriptions[Any] = Subscriptions(
    handled=[Subscription(ThingMoved, on_moved)], finish=record_moves
)
ORM_SUBSCRIPTIONS: Subscriptions[Any] = Subscriptions(
    handled=[Subscription(ThingMoved, on_moved_orm)]
)


def main() -> None:
    """Run the worker until told to stop."""
    settings = load(ServiceSettings)
    process = Process(name=f"{SERVICE}-worker", settings=settings)
    service = Service(
        name=SERVICE,
        title="Things",
        metadata=Base.metadata,
        worker=common_only(ServiceSettings),
        subscriptions=SUBSCRIPTIONS,
    )
    run_worker(process, create_worker(service, settings, process))


if __name__ == "__main__":
    main()
