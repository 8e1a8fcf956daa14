"""A database with a service's schema and one table, for the tests of transactions and errors."""

import pytest
from pydantic import SecretStr
from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from chassis.database import Database, DatabaseSettings, service_metadata
from chassis.settings import Environment
from chassis.testing import ServiceDatabase

SERVICE = "ledgers"


@pytest.fixture(scope="session")
def metadata() -> MetaData:
    metadata = service_metadata()
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


@pytest.fixture
async def ledgers(service_database, database_settings):
    """The pool of the service, on its emptied database."""
    await service_database.clean()
    async with Database(settings=database_settings, application_name="tests").opened() as pool:
        yield pool
