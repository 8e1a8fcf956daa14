"""Writes a service's facts to a stream: the process ``facts`` of a service."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

import structlog
from aiokafka.errors import KafkaError

from chassis.database.database import Database
from chassis.database.infrastructure import is_infrastructure_error
from chassis.database.settings import DatabaseSettings
from chassis.messaging.connection import KafkaConnection
from chassis.settings import KafkaSettings
from chassis.verification.declared import Verification
from chassis.verification.pace import Pace
from chassis.verification.reading import FactReader
from chassis.verification.topics import topic_reader


class FactsSettings(KafkaSettings, DatabaseSettings):
    """The settings of a worker that reading facts needs."""


class FactsError(Exception):
    """The facts can't be read; the text says why."""


@asynccontextmanager
async def fact_reader(
    service: str, declared: Verification, settings: FactsSettings, *, rate: int
) -> AsyncIterator[FactReader]:
    """Connect to database and Kafka as the service does.

    Args:
        service: the service's name.
        declared: what it offers.
        settings: those of its worker.
        rate: how many rows and messages are read in a second, at most.
    """
    pace = Pace(rate)
    kafka = KafkaConnection.of(settings)
    database = Database(settings=settings, application_name=f"{service}-facts")
    async with database.opened(), topic_reader(kafka, service=service, pace=pace) as topics:
        yield FactReader(
            service=service, declared=declared, database=database, topics=topics, pace=pace
        )


def write_facts(
    service: str, declared: Verification, settings: FactsSettings, *, rate: int, out: TextIO
) -> None:
    """Write all facts of a service to `out`, a line of JSON each.

    The arguments are those of ``fact_reader``.

    Raises:
        FactsError: the database or Kafka is unavailable, or refuses the service.
    """
    # Standard output has the facts.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        asyncio.run(_write(service, declared, settings, rate=rate, out=out))
    except Exception as error:
        if is_infrastructure_error(error) or isinstance(error, KafkaError | OSError):
            message = f"{service}: the database or Kafka is unavailable: {error!r}"
            raise FactsError(message) from error
        raise


async def _write(
    service: str, declared: Verification, settings: FactsSettings, *, rate: int, out: TextIO
) -> None:
    async with fact_reader(service, declared, settings, rate=rate) as reader:
        async for fact in reader.facts():
            out.write(f"{fact.to_line()}\n")
    out.flush()
