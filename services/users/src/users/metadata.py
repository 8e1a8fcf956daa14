"""The metadata of this service's schema; every noun's tables hang on it."""

from sqlalchemy.orm import DeclarativeBase

from chassis.database import service_metadata
from chassis.messaging import declare_messaging_tables

# A session that has ended must be known everywhere before a backlog of other events is.
URGENT_TOPICS = ("slipway.sessions",)


class Base(DeclarativeBase):
    """The base of this service's tables."""

    metadata = service_metadata()


declare_messaging_tables(Base.metadata, urgent_topics=URGENT_TOPICS)
