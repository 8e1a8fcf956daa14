"""PostgreSQL: pool, units of work, model base, roles and migrations.

Each name is imported at its first use. SQLAlchemy takes a third of a second of CPU time to import.
A process that needs only roles, or the folders of revisions, starts without it.
"""

from typing import TYPE_CHECKING

from chassis.first_use import at_first_use

if TYPE_CHECKING:
    from chassis.database.connecting import Connector
    from chassis.database.database import Database
    from chassis.database.ids import new_id
    from chassis.database.infrastructure import is_infrastructure_error
    from chassis.database.models import Timestamped, service_metadata
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

__getattr__ = at_first_use(
    __name__,
    {
        "Connector": "connecting",
        "Database": "database",
        "DatabaseSettings": "settings",
        "Statements": "statements",
        "Timestamped": "models",
        "Unit": "unit",
        "is_infrastructure_error": "infrastructure",
        "new_id": "ids",
        "service_metadata": "models",
    },
)
