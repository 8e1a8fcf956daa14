"""What the tables of every service share: names of constraints, ids, time stamps."""

from datetime import datetime
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import DateTime, MetaData, func
from sqlalchemy.orm import Mapped, mapped_column


def new_id() -> UUID:
    """Make a UUIDv7 (RFC 9562 §5.7): unique, and close in an index to its neighbours in time."""
    return uuid_utils.compat.uuid7()


def service_metadata() -> MetaData:
    """Make the metadata of one service: constraint names are fixed, so migrations can name them.

    Tables name no schema: the service's roles have it as their ``search_path``.
    """
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Timestamped:
    """A mixin for every business table: both times are set by the database."""

    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), sort_order=900
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now(), sort_order=901
    )
