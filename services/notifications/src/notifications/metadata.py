"""The SQLAlchemy metadata of this service's schema. It holds the tables of all nouns."""

from sqlalchemy.orm import DeclarativeBase

from chassis.audit import declare_audit_table
from chassis.database import service_metadata
from chassis.idempotency_table import declare_idempotency_table
from chassis.jobs import declare_job_tables
from chassis.messaging import declare_messaging_tables


class Base(DeclarativeBase):
    """The base of this service's tables."""

    metadata = service_metadata()


declare_messaging_tables(Base.metadata)
declare_job_tables(Base.metadata)
declare_idempotency_table(Base.metadata)
declare_audit_table(Base.metadata)
