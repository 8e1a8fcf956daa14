"""The metadata of this service's schema; every noun's tables hang on it."""

from sqlalchemy.orm import DeclarativeBase

from chassis.database import service_metadata
from chassis.http import declare_idempotency_table
from chassis.messaging import declare_messaging_tables


class Base(DeclarativeBase):
    """The base of this service's tables."""

    metadata = service_metadata()


declare_messaging_tables(Base.metadata)
declare_idempotency_table(Base.metadata)
