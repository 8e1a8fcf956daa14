"""The table of Idempotency-Keys and the responses to their requests."""

from sqlalchemy import (
    Column,
    DateTime,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database.declared import CHASSIS_TABLE


def declare_idempotency_table(metadata: MetaData) -> None:
    """Add the table ``idempotency_keys`` to a service's metadata, and so to its migrations."""
    Table(
        "idempotency_keys",
        metadata,
        Column("caller", Uuid, primary_key=True),
        Column("endpoint", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("body_hash", LargeBinary, nullable=False),
        Column("status", SmallInteger, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            nullable=False,
            server_default=func.now(),
            index=True,
        ),
        info=CHASSIS_TABLE,
    )
