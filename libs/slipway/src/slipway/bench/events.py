"""The measured service: it announces that things moved, and notes each move that it hears of.

Run as a program it is a worker like any other: ``python -m slipway.bench.events``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.database import service_metadata
from chassis.messaging import Delivery, Subscription, Subscriptions, declare_messaging_tables
from chassis.process import Process, run_worker
from chassis.settings import load
from chassis.wiring import ServiceResources, ServiceSettings, open_service
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


class Move(Base):
    """The one row of effect that an event has."""

    __tablename__ = "moves"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    thing_id: Mapped[UUID]
    version: Mapped[int]
    place: Mapped[str]


async def on_moved(event: ThingMoved, delivery: Delivery[Any]) -> None:
    """Note the move."""
    delivery.session.add(Move(thing_id=event.thing_id, version=event.version, place=event.place))


SUBSCRIPTIONS: Subscriptions[Any] = Subscriptions(handled=[Subscription(ThingMoved, on_moved)])


def main() -> None:
    """Run the worker until told to stop."""
    settings = load(ServiceSettings)
    process = Process(name=f"{SERVICE}-worker", settings=settings)

    @asynccontextmanager
    async def open_resources(process: Process) -> AsyncIterator[ServiceResources]:
        async with open_service(settings, process, service=SERVICE) as resources:
            yield resources

    worker = create_worker(
        process=process,
        settings=settings,
        open_resources=open_resources,
        subscriptions=SUBSCRIPTIONS,
    )
    run_worker(process, worker)


if __name__ == "__main__":
    main()
