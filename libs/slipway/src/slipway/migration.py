"""How the services are migrated: by `slipway.migrate`, in a process of its own.

Alembic keeps its context in module globals, so one process runs one migration at a time; and what
it imports (the services' tables) should not stay in the supervisor's memory.
"""

import os
import sys
from pathlib import Path

from slipway.database import SERVICES, Database
from slipway.program import ProgramSpec


def service_directory(root: Path, service: str) -> Path:
    """The folder that holds the service's `migrations/`."""
    return root / "services" / service


def url_variable(service: str) -> str:
    """The environment variable with the owner's URL, for the migrating process."""
    return f"{service.upper()}_DATABASE_OWNER_URL"


def migration_spec(root: Path, database: Database) -> ProgramSpec:
    """How to run the migrations of all services."""
    urls = {url_variable(service): database.owner_url(service) for service in SERVICES}
    return ProgramSpec(
        name="migrate",
        command=(sys.executable, "-m", "slipway.migrate", str(root)),
        environment={**os.environ, **urls},
        directory=root,
    )
