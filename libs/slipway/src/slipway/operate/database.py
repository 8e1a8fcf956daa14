"""Creates the system's one database, with a schema and two roles for each service."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from chassis.database.roles import bootstrap
from chassis.database.urls import shown_address
from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from chassis.role_names import owner_role, runtime_role
from slipway.errors import SlipwayError
from slipway.services import SERVICES

# Another process has created the database since this one looked: before CREATE DATABASE, or while
# it ran.
_CREATED_BY_ANOTHER = (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError)


@dataclass(frozen=True, kw_only=True)
class Database:
    """The database's address and the roles that may use it.

    Attributes:
        superuser_url: `postgresql://…` of a role that may create databases and roles.
        name: of the database.
        passwords: by role.
    """

    superuser_url: str
    name: str
    passwords: Mapping[str, str]

    def owner_url(self, service: str) -> str:
        """Return the URL for migrations."""
        return self._url(owner_role(service))

    def runtime_url(self, service: str) -> str:
        """Return the URL for the service's processes."""
        return self._url(runtime_role(service))

    def _url(self, role: str) -> str:
        place = urlsplit(self.superuser_url).netloc.rpartition("@")[2]
        user = f"{quote(role)}:{quote(self.passwords[role], safe='')}"
        return urlunsplit(("postgresql", f"{user}@{place}", f"/{self.name}", "", ""))

    async def prepare_when_there(self, *, limit: float) -> None:
        """Wait up to `limit` seconds for the server, then prepare; SlipwayError if it fails."""
        if not SERVICES:
            message = (
                "No service is known: none is installed here, and SLIPWAY_SERVICES is not set. "
                "Name those that need a schema: SLIPWAY_SERVICES='orders users'."
            )
            raise SlipwayError(message)
        try:
            await wait_for_postgres(self.superuser_url, limit=limit)
            await self.prepare()
        except DatabaseUnusableError as error:
            raise SlipwayError(str(error)) from error
        except (OSError, asyncpg.PostgresError) as error:
            place = shown_address(self.superuser_url)
            message = (
                f"The database {self.name} at {place} can't be prepared: {error}. The role needs "
                "the right to create databases, roles and schemas."
            )
            raise SlipwayError(message) from error

    async def prepare(self) -> None:
        """Create database, schemas and roles, or correct existing ones."""
        connection = await asyncpg.connect(self.superuser_url)
        try:
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            if not await connection.fetchval(query, self.name):
                with suppress(*_CREATED_BY_ANOTHER):
                    await connection.execute(f'CREATE DATABASE "{self.name}"')
        finally:
            await connection.close()
        connection = await asyncpg.connect(self.superuser_url, database=self.name)
        try:
            for service in SERVICES:
                await bootstrap(
                    connection,
                    service,
                    owner_password=self.passwords[owner_role(service)],
                    runtime_password=self.passwords[runtime_role(service)],
                )
        finally:
            await connection.close()
