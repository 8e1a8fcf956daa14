"""Migrates one service from its own image: `python -m chassis.database.migrate [DIRECTORY]`.

DIRECTORY holds ``migrations/``; it is the working directory where it is left out.
"""

import asyncio
import sys
from pathlib import Path

from pydantic import Field, SecretStr

from chassis.database.migrations import upgrade
from chassis.database.waiting import DatabaseUnusableError, wait_for_postgres
from chassis.settings import Settings, load


class MigrationSettings(Settings):
    """What a migration needs to know."""

    database_owner_url: SecretStr = Field(
        description="`postgresql://role:password@host:port/database` of the schema's owner."
    )
    startup_wait: float = Field(
        default=10, ge=0, le=3600, description="Seconds to wait for a server that still starts."
    )


def migrate(directory: Path, settings: MigrationSettings) -> None:
    """Bring the schema to its newest revision; DatabaseUnusableError says why it can't be."""
    if not (directory / "migrations").is_dir():
        message = f"{directory} holds no migrations/: run it there, or name the service's directory"
        raise DatabaseUnusableError(message)
    url = settings.database_owner_url.get_secret_value()
    asyncio.run(wait_for_postgres(url, limit=settings.startup_wait))
    upgrade(directory, url)


def main() -> None:
    """Migrate; what can be corrected is told in a sentence, with exit status 1."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()
    try:
        migrate(directory, load(MigrationSettings))
    except DatabaseUnusableError as error:
        sys.exit(f"migration: {error}")
    sys.stdout.write("The schema is at its newest revision\n")


if __name__ == "__main__":
    main()
