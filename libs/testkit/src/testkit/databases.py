"""A database for each worker process of the tests, with the schema of one service."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import MetaData, NullPool
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.database.engine import asyncpg_url
from chassis.database.migrations import upgrade
from chassis.database.roles import bootstrap
from chassis.role_names import owner_role, runtime_role

PASSWORD = "test"  # noqa: S105 - of roles that live as long as the tests' server

_MANY_BYTES = 1_000_000
_TABLES = """
    SELECT format('%I.%I', schemaname, tablename) AS name,
           pg_relation_size(format('%I.%I', schemaname, tablename)::regclass) > $2 AS is_large
    FROM pg_tables WHERE schemaname = $1 AND tablename <> 'alembic_version'
"""
_EMPTY = {True: "TRUNCATE {} CASCADE", False: "DELETE FROM {}"}
_RESTART_SEQUENCES = """
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE schemaname = $1 AND last_value IS NOT NULL
"""


def url_for(superuser_url: str, *, database: str, role: str | None = None) -> str:
    """Return the superuser's URL, changed to another database and, if given, another role."""
    url = make_url(superuser_url).set(database=database)
    if role is not None:
        url = url.set(username=role, password=PASSWORD)
    return url.render_as_string(hide_password=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDatabase:
    """The database that one worker process's tests of one service use."""

    service: str
    superuser_url: str
    owner_url: str
    runtime_url: str

    @classmethod
    async def create(cls, superuser_url: str, service_directory: Path) -> "ServiceDatabase":
        """Create a database with the schema of the service at its newest revision."""
        created = await cls.create_empty(superuser_url, service_directory.name)
        await asyncio.to_thread(upgrade, service_directory, created.owner_url)
        return created

    @classmethod
    async def create_from_metadata(
        cls, superuser_url: str, service: str, metadata: MetaData
    ) -> "ServiceDatabase":
        """Create a database with the tables of `metadata`, for a service without migrations."""
        created = await cls.create_empty(superuser_url, service)
        engine = create_async_engine(asyncpg_url(created.owner_url), poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        return created

    @classmethod
    async def create_empty(cls, superuser_url: str, service: str) -> "ServiceDatabase":
        """Create a database with the schema and the roles of the service, without tables."""
        database = f"test_{service}_{uuid.uuid4().hex[:12]}"
        admin = await asyncpg.connect(superuser_url)
        try:
            await admin.execute(f"CREATE DATABASE {database}")
        finally:
            await admin.close()
        await bootstrap_services(superuser_url, database, [service])
        return cls(
            service=service,
            superuser_url=url_for(superuser_url, database=database),
            owner_url=url_for(superuser_url, database=database, role=owner_role(service)),
            runtime_url=url_for(superuser_url, database=database, role=runtime_role(service)),
        )

    @asynccontextmanager
    async def connected(self, *, as_owner: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """Connect as the service itself, or as the role that migrates it."""
        connection = await asyncpg.connect(self.owner_url if as_owner else self.runtime_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def run_as_owner(self, sql: str) -> None:
        """Run statements without arguments as the schema's owner, who may change its tables."""
        async with self.connected(as_owner=True) as connection:
            await connection.execute(sql)

    async def clean(self) -> None:
        """Empty every table of the service except Alembic's, and restart its sequences.

        TRUNCATE makes new files for a table and each of its indexes, so for all tables of a service
        it takes longer than most tests. Rows are deleted unless there are many.
        """
        connection = await asyncpg.connect(self.superuser_url)
        try:
            tables = await connection.fetch(_TABLES, self.service, _MANY_BYTES)
            if not tables:
                return
            async with connection.transaction():
                # Deletes in any order: no trigger and no foreign key looks.
                await connection.execute(
                    "SET LOCAL session_replication_role = replica;"
                    f"LOCK TABLE {', '.join(row['name'] for row in tables)};"
                    + ";".join(_EMPTY[row["is_large"]].format(row["name"]) for row in tables)
                )
                await connection.execute(_RESTART_SEQUENCES, self.service)
        finally:
            await connection.close()


async def bootstrap_services(superuser_url: str, database: str, services: Sequence[str]) -> None:
    """Create the schemas and roles of `services` in `database`."""
    connection = await asyncpg.connect(url_for(superuser_url, database=database))
    try:
        for service in services:
            await bootstrap(connection, service, owner_password=PASSWORD, runtime_password=PASSWORD)
    finally:
        await connection.close()
