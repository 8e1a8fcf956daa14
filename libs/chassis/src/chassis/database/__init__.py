"""PostgreSQL: pool, units of work, model base, roles and migrations."""

from typing import TYPE_CHECKING

from chassis.lazy_package import names_from

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

_MODULES = {
    "Connector": "connecting",
    "Database": "database",
    "DatabaseSettings": "settings",
    "Statements": "statements",
    "Timestamped": "models",
    "Unit": "unit",
    "is_infrastructure_error": "infrastructure",
    "new_id": "ids",
    "service_metadata": "models",
}

__getattr__ = names_from(__name__, _MODULES)
