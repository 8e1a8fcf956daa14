"""PostgreSQL: engine, transactions, model base, roles and migrations."""

from chassis.database.engine import Database, DatabaseSettings
from chassis.database.errors import is_infrastructure_error
from chassis.database.models import Timestamped, new_id, service_metadata
from chassis.database.transaction import after_commit, before_commit

__all__ = [
    "Database",
    "DatabaseSettings",
    "Timestamped",
    "after_commit",
    "before_commit",
    "is_infrastructure_error",
    "new_id",
    "service_metadata",
]
