"""The tables of this service, those of messaging included."""

from sqlalchemy.orm import DeclarativeBase

from chassis.database import service_metadata
from chassis.messaging import declare_messaging_tables


class Base(DeclarativeBase):
    """The base of every table here."""

    metadata = service_metadata()


declare_messaging_tables(Base.metadata)
