"""A database with a service's schema and two tables, for the tests of transactions and pages."""

from datetime import datetime
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import BigInteger, Column, DateTime, MetaData, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from chassis.database import Database, DatabaseSettings, service_metadata
from chassis.settings import Environment
from testkit.databases import ServiceDatabase

SERVICE = "ledgers"


class Base(DeclarativeBase):
    metadata = service_metadata()


class Entry(Base):
    """One item of a list that is sorted by time."""

    __tablename__ = "entries"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    number: Mapped[int] = mapped_column(BigInteger)


@pytest.fixture(scope="session")
def metadata() -> MetaData:
    metadata = Base.metadata
    Table("ledgers", metadata, Column("name", Text, primary_key=True), Column("sum", BigInteger))
    return metadata


@pytest.fixture(scope="session")
async def service_database(postgres_url, metadata) -> ServiceDatabase:
    return await ServiceDatabase.create_from_metadata(postgres_url, SERVICE, metadata)


@pytest.fixture(scope="session")
def database_settings(service_database):
    return settings_for(service_database.runtime_url)


def settings_for(url: str, **options) -> DatabaseSettings:
    return DatabaseSettings(
        environment=Environment.DEVELOPMENT, database_url=SecretStr(url), **options
    )


async def end_backends(database, application_name) -> int:
    """End connections by their application name, and wait until the server has ended them."""
    admin = await asyncpg.connect(database.superuser_url)
    try:
        ended: int = await admin.fetchval(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE application_name = $1 AND datname = current_database()",
            application_name,
        )
    finally:
        await admin.close()
    return ended


@pytest.fixture
async def ledgers(service_database, database_settings):
    """The pool of the service, on its emptied database."""
    await service_database.clean()
    async with Database(settings=database_settings, application_name="tests").opened() as pool:
        yield pool


@pytest.fixture
def pool_of_one(service_database):
    """Return a function that makes a pool of one connection with a given time-out for the wait."""

    def pool(seconds: float) -> Database:
        options = {
            "database_pool_size": 1,
            "database_pool_overflow": 0,
            "database_pool_timeout": seconds,
        }
        settings = settings_for(service_database.runtime_url, **options)
        return Database(settings=settings, application_name="tests")

    return pool
