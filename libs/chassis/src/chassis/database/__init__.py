"""PostgreSQL: pool, units of work, model base, roles and migrations."""

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
