"""The tables of the audit log, and of the seals that make later changes of it visible.

PostgreSQL rejects every UPDATE of an entry or a seal, and the DELETE of one younger than 30 days,
from any role but a superuser. Roles that may drop the triggers can still change rows; the seals
reveal that (ADR 43).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis.database.declared import CHASSIS_TABLE

AUDIT_LOG = "audit_log"


def declare_audit_table(metadata: MetaData) -> None:
    """Add the table ``audit_log`` and its seals to a service's metadata, and so to its migrations.

    A trigger writes the id of each new entry to ``audit_unsealed``, in the transaction of the
    entry. The worker's periodic job seals what it finds there.
    """
    Table(
        AUDIT_LOG,
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("actor_kind", Text, nullable=False),
        Column("actor_id", Uuid),
        Column("session_id", Uuid),
        Column("api_key_id", Uuid),
        Column("action", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("details", JSONB, nullable=False),
        Column("address", Text),
        Column("request_id", Text),
        Column("traceparent", Text),
        # NULL: a release before this column wrote the entry.
        Column("methods", ARRAY(Text)),
        Index("ix_audit_log_at_id", "at", "id"),
        Index("ix_audit_log_action_at_id", "action", "at", "id"),
        Index("ix_audit_log_subject_at_id", "subject", "at", "id"),
        Index("ix_audit_log_actor_id_at_id", "actor_id", "at", "id"),
        info=CHASSIS_TABLE,
    )
    Table(
        "audit_unsealed",
        metadata,
        Column(
            "id",
            BigInteger,
            ForeignKey(f"{AUDIT_LOG}.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        info=CHASSIS_TABLE,
    )
    Table(
        "audit_seals",
        metadata,
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("sealed_at", DateTime(timezone=True), nullable=False),
        Column("newest_at", DateTime(timezone=True), nullable=False),
        Column("entry_ids", ARRAY(BigInteger), nullable=False),
        Column("entry_hashes", ARRAY(LargeBinary), nullable=False),
        Column("previous", LargeBinary, nullable=False),
        Column("hash", LargeBinary, nullable=False),
        # For the search of entries that no seal covers.
        Index("ix_audit_seals_entry_ids", "entry_ids", postgresql_using="gin"),
        info=CHASSIS_TABLE,
    )
