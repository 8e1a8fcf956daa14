"""PostgreSQL: pool, units of work, model base, roles and migrations.

Each name is imported at its first use. SQLAlchemy takes a third of a second of CPU time to import.
A process that needs only roles, or the folders of revisions, starts without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chassis.database.connecting import Connector
    from chassis.database.database import Database
    from chassis.database.errors import is_infrastructure_error
    from chassis.database.models import Timestamped, new_id, service_metadata
    from chassis.database.settings import DatabaseSettings
    from chassis.database.statements import Statements
    from chassis.database.unit import Unit

__all__ = [
    "Connector",
    "Database",
    "DatabaseSettings",
    "Statements",
    "Timestamped",
    "Unit",
    "is_infrastructure_error",
    "new_id",
    "service_metadata",
]

_MODULES = {
    "Connector": "connecting",
    "Database": "database",
    "DatabaseSettings": "settings",
    "Statements": "statements",
    "Timestamped": "models",
    "Unit": "unit",
    "is_infrastructure_error": "errors",
    "new_id": "models",
    "service_metadata": "models",
}


def __getattr__(name: str) -> object:
    """Return a name of this package, from the module that has it (PEP 562)."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
