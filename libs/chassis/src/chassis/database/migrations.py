"""The Alembic environment that all services share, and the commands that use it.

A schema has two branches of revisions: the chassis' own, which are package data of the chassis, and
the service's, in its ``migrations/versions``. Migrations run as the owner role, whose
``search_path`` is the service's schema.
"""

import asyncio
import threading
from enum import StrEnum
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database.connecting import Connector
from chassis.database.declared import ServiceTables, declared_tables
from chassis.database.engine import open_engine
from chassis.database.locations import CHASSIS_REVISIONS, ENVIRONMENT, service_revisions

_LOCK_TIMEOUT = "5s"  # fail without the table lock: queries would queue behind a waiting migration
TURN_SECONDS = 600  # another migration of this schema may take long
_AGAIN_SECONDS = 0.1
# Without it, the server ends a statement, which may take hours, before it notices that the process
# that sent it was killed. Its locks would make the next attempt wait as long.
_GONE_AFTER = "1s"
_TRY = text("SELECT pg_try_advisory_lock(hashtextextended('migrate:' || current_schema(), 0))")
_ALEMBIC = threading.Lock()  # Alembic's context belongs to the whole process


class Branch(StrEnum):
    """Who owns the revisions; those of the chassis apply to every service."""

    CHASSIS = "chassis"
    SERVICE = "service"


def run_environment() -> None:
    """Run the Alembic command; called by ``env.py``, which all services share."""
    attributes = context.config.attributes
    asyncio.run(_run_online(attributes["url"], attributes["declared"], attributes.get("compared")))


async def _run_online(url: str, declared: ServiceTables, compared: Branch | None) -> None:
    # Not through a pooler: the advisory lock below belongs to the session.
    connector = Connector.to(url, name="database_owner")
    engine = open_engine(connector, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await _lock(connection)
            await connection.run_sync(_run, declared, compared)
            await connection.commit()
    finally:
        await engine.dispose()


async def _lock(connection: AsyncConnection) -> None:
    """Wait until no other migration of this schema runs; the lock ends with the connection.

    It tries again and again, because a session that waits for a lock holds a snapshot. A CREATE
    INDEX CONCURRENTLY of the other migration would wait for that snapshot to end.

    Raises:
        TimeoutError: the other migration took over 10 minutes.
    """
    await connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
    await connection.execute(text(f"SET client_connection_check_interval = '{_GONE_AFTER}'"))
    async with asyncio.timeout(TURN_SECONDS):
        while not (await connection.execute(_TRY)).scalar_one():
            await connection.commit()
            await asyncio.sleep(_AGAIN_SECONDS)
    # Alembic does not commit a transaction that it finds open.
    await connection.commit()


def _run(connection: Connection, declared: ServiceTables, compared: Branch | None) -> None:
    def is_compared(_: object, name: str | None, kind: str, *__: object) -> bool:
        if compared is None or kind != "table":
            return True
        return (name in declared.of_chassis) is (compared is Branch.CHASSIS)

    context.configure(
        connection=connection,
        target_metadata=declared.metadata,
        include_object=is_compared,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _config(service_directory: Path, url: str, **attributes: Any) -> Config:  # noqa: ANN401 - for env.py
    locations = (CHASSIS_REVISIONS, service_revisions(service_directory))
    config = Config()
    config.set_main_option("script_location", _escaped(ENVIRONMENT))
    config.set_main_option("path_separator", "newline")  # a path may hold any other character
    config.set_main_option("version_locations", "\n".join(map(_escaped, locations)))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    declared = declared_tables(service_directory.name)
    # The chassis' revisions read which of its tables the service has, and its urgent topics.
    attributes |= {
        "chassis_tables": declared.of_chassis,
        "urgent_topics": declared.urgent_topics,
    }
    config.attributes.update(attributes, url=url, declared=declared)
    return config


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def upgrade(service_directory: Path, url: str) -> None:
    """Migrate the schema to the newest revision of both branches.

    Args:
        service_directory: the folder that holds ``migrations/``; its name is the service's.
        url: ``postgresql://…`` of the owner role.

    Raises:
        UndeclaredTablesError: the service's package declares its tables incorrectly.
    """
    with _ALEMBIC:
        command.upgrade(_config(service_directory, url), "heads")


def downgrade(service_directory: Path, url: str, revision: str) -> None:
    """Migrate the schema back to `revision`, or to empty with ``base``.

    The data of the removed tables and columns are lost.
    """
    with _ALEMBIC:
        command.downgrade(_config(service_directory, url), revision)


def check(service_directory: Path, url: str) -> None:
    """Raise ``alembic.util.AutogenerateDiffsDetected`` if models and migrations differ."""
    with _ALEMBIC:
        command.check(_config(service_directory, url))


def new_revision(
    service_directory: Path, url: str, text: str, *, branch: Branch = Branch.SERVICE
) -> None:
    """Write a branch's next revision from the difference between models and the database at `url`.

    Args:
        service_directory: as for ``upgrade``.
        url: as for ``upgrade``; the database must be at the newest revisions.
        text: the change, in words; it becomes the revision's message.
        branch: whose tables are compared, and where the revision is written.
    """
    config = _config(service_directory, url, compared=branch)
    place, label, prefix = service_revisions(service_directory), service_directory.name, ""
    if branch is Branch.CHASSIS:
        place, label, prefix = CHASSIS_REVISIONS, Branch.CHASSIS, f"{Branch.CHASSIS}_"
    place.mkdir(parents=True, exist_ok=True)
    existing = len(list(place.glob("*.py")))
    with _ALEMBIC:
        command.revision(
            config,
            message=text,
            autogenerate=True,
            rev_id=f"{prefix}{existing + 1:04d}",
            version_path=str(place),
            head=f"{label}@head" if existing else "base",
            branch_label=None if existing else label,
        )
