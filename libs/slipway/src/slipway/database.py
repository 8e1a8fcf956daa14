"""The one database of the system: made, with a schema and two roles for each service."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from chassis.database.roles import bootstrap, owner_role, runtime_role
from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from slipway.errors import SlipwayError

SERVICES = ("users", "orders", "notifications")


def role_names() -> tuple[str, ...]:
    """All roles that need a password."""
    return tuple(role for name in SERVICES for role in (owner_role(name), runtime_role(name)))


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where the database is, and who may use it.

    Attributes:
        superuser_url: `postgresql://…` of a role that may create databases and roles.
        name: of the database.
        passwords: by role.
    """

    superuser_url: str
    name: str
    passwords: Mapping[str, str]

    def owner_url(self, service: str) -> str:
        """For migrations."""
        return self._url(owner_role(service))

    def runtime_url(self, service: str) -> str:
        """For the service's processes."""
        return self._url(runtime_role(service))

    def _url(self, role: str) -> str:
        place = urlsplit(self.superuser_url).netloc.rpartition("@")[2]
        user = f"{quote(role)}:{quote(self.passwords[role], safe='')}"
        return urlunsplit(("postgresql", f"{user}@{place}", f"/{self.name}", "", ""))

    async def prepare_when_there(self, *, limit: float) -> None:
        """Wait for the server, `limit` seconds at most, and prepare; SlipwayError says why not."""
        try:
            await wait_for_postgres(self.superuser_url, limit=limit)
            await self.prepare()
        except DatabaseUnusableError as error:
            raise SlipwayError(str(error)) from error
        except (OSError, asyncpg.PostgresError) as error:
            place = self.superuser_url.rpartition("@")[2]
            message = (
                f"the database {self.name} at {place} can't be prepared: {error}. The role needs "
                "the right to create databases, roles and schemas"
            )
            raise SlipwayError(message) from error

    async def prepare(self) -> None:
        """Make database, schemas and roles, or bring them to what they should be."""
        connection = await asyncpg.connect(self.superuser_url)
        try:
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            if not await connection.fetchval(query, self.name):
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
