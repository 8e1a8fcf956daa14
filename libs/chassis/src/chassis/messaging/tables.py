"""The tables that messaging needs in each service's schema; a service declares them in one line."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB


def declare_messaging_tables(metadata: MetaData) -> None:
    """Add ``outbox`` and ``inbox`` to a service's metadata, and so to its migrations.

    ``outbox.seq`` is taken while the aggregate's row lock is held, without a sequence cache: so it
    follows the commit order within an aggregate.
    """
    Table(
        "outbox",
        metadata,
        Column("seq", BigInteger, Identity(always=True, cache=1), primary_key=True),
        Column("id", Uuid, nullable=False),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            nullable=False,
            server_default=func.clock_timestamp(),
        ),
    )
    Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("outcome", Text, nullable=False),
        Column(
            "received_at",
            DateTime(timezone=True),
            nullable=False,
            server_default=func.now(),
            index=True,
        ),
    )
