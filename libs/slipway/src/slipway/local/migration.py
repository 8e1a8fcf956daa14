"""Migrates the services with `slipway.operate.migrate`, in a separate process.

Alembic keeps its context in module globals, so one process runs one migration at a time; and what
it imports (the services' tables) should not stay in the supervisor's memory.
"""

import ast
import asyncio
import sys
from pathlib import Path
from typing import Any

import asyncpg

from chassis.database.locations import CHASSIS_REVISIONS, service_revisions
from slipway.local.program import ProgramSpec, inherited_environment
from slipway.operate.database import Database
from slipway.services import SERVICES, service_directory, url_variable


async def is_current(root: Path, database: Database) -> bool:
    """Return whether every schema is at its newest revision, so that nothing needs to run.

    It queries the database, and reads the revisions without Alembic. That makes a warm start up
    to two seconds shorter.
    """
    for service in SERVICES:
        newest = await asyncio.to_thread(newest_revisions, service_directory(root, service))
        connection = await asyncpg.connect(database.owner_url(service))
        try:
            rows = await connection.fetch("SELECT version_num FROM alembic_version")
        except asyncpg.UndefinedTableError:
            return False
        finally:
            await connection.close()
        if {row["version_num"] for row in rows} != newest:
            return False
    return True


def newest_revisions(directory: Path) -> set[str]:
    """Return the head revisions of a service's schema: usually one of each branch.

    A revision that another one follows or depends on is not a head.
    """
    found: set[str] = set()
    followed: set[str] = set()
    for place in (CHASSIS_REVISIONS, service_revisions(directory)):
        for file in place.glob("*.py"):
            names = _assigned(ast.parse(file.read_text()))
            found.add(str(names["revision"]))
            for before in (names["down_revision"], names["depends_on"]):
                followed |= {before} if isinstance(before, str) else set(before or ())
    return found - followed


def _assigned(module: ast.Module) -> dict[str, Any]:
    """Return the values that a revision file assigns at module level."""
    names: dict[str, Any] = {"revision": None, "down_revision": None, "depends_on": None}
    for statement in module.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            value = getattr(statement, "value", None)
            if isinstance(target, ast.Name) and target.id in names and value is not None:
                names[target.id] = ast.literal_eval(value)
    return names


def migration_spec(root: Path, database: Database) -> ProgramSpec:
    """Return how to run the migrations of all services."""
    urls = {url_variable(service): database.owner_url(service) for service in SERVICES}
    return ProgramSpec(
        name="migrate",
        command=(sys.executable, "-m", "slipway.operate.migrate", str(root)),
        environment={**inherited_environment(), **urls},
        directory=root,
    )
