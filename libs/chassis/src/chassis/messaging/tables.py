"""The tables that messaging needs in each service's schema."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database.declared import CHASSIS_TABLE, set_urgent_topics
from chassis.messaging.publishing.unsent import topics_in

# The table is emptied all the time. Vacuum it by the number of dead rows, and without pauses. Rows
# are never updated, so no space is left for new versions (fillfactor 100, the default).
_ALWAYS_EMPTIED = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "100000",
    "toast.autovacuum_vacuum_scale_factor": "0",
    "toast.autovacuum_vacuum_threshold": "10000",
    "toast.autovacuum_vacuum_cost_delay": "0",
}


def declare_messaging_tables(metadata: MetaData, *, urgent_topics: Collection[str] = ()) -> None:
    """Add the tables of messaging to a service's metadata, and so to its migrations.

    Args:
        metadata: the service's metadata.
        urgent_topics: the topics that its worker relays ahead of others; they get an index.
    """
    set_urgent_topics(metadata, tuple(urgent_topics))
    _declare_outbox(metadata, urgent_topics)
    _declare_inbox(metadata)
    _declare_parking(metadata)
    _declare_operations(metadata)


def _moment(name: str, *, index: bool | None = None) -> Column[datetime]:
    return Column(
        name, DateTime(timezone=True), nullable=False, server_default=func.now(), index=index
    )


def _declare_outbox(metadata: MetaData, urgent_topics: Collection[str]) -> None:
    """Declare ``outbox`` and ``outbox_refusals``.

    ``outbox.seq`` is taken while the aggregate's row lock is held, and the sequence has no cache.
    So it follows the commit order within an aggregate. A row that Kafka refuses stays in
    ``outbox``; ``outbox_refusals`` records the attempts and the error.
    """
    outbox = Table(
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
        postgresql_with=_ALWAYS_EMPTIED,
        info=CHASSIS_TABLE,
    )
    if urgent_topics:  # without the index each poll for them would scan the whole backlog
        Index("ix_outbox_urgent", outbox.c.seq, postgresql_where=text(topics_in(urgent_topics)))
    Table(
        "outbox_refusals",
        metadata,
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("error", Text, nullable=False),
        _moment("first_refused_at"),
        _moment("last_refused_at"),
        info=CHASSIS_TABLE,
    )


def _declare_inbox(metadata: MetaData) -> None:
    Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("outcome", Text, nullable=False),
        _moment("received_at", index=True),
        info=CHASSIS_TABLE,
    )


def _declare_parking(metadata: MetaData) -> None:
    """Declare the queues (``parked_keys``) and the messages in them (``parked_messages``).

    A blocking queue takes in all later messages of its key. A queue that does not block holds one
    message, of an unknown type or of a subscription that skips.
    """
    Table(
        "parked_keys",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("consumer", Text, nullable=False),
        Column("topic", Text, nullable=False),
        Column("key", Text),
        Column("blocking", Boolean, nullable=False),
        Column("state", Text, nullable=False),
        Column("next_attempt_at", DateTime(timezone=True)),
        _moment("parked_at"),
        CheckConstraint("state IN ('retrying', 'dead', 'unknown')", name="state_known"),
        CheckConstraint(
            "(state = 'retrying') = (next_attempt_at IS NOT NULL)", name="retried_at_a_time"
        ),
        Index(
            "uq_parked_keys_blocking",
            "consumer",
            "topic",
            "key",
            unique=True,
            postgresql_where=text("blocking"),
            postgresql_nulls_not_distinct=True,
        ),
        Index(
            "ix_parked_keys_due",
            "next_attempt_at",
            postgresql_where=text("state = 'retrying'"),
        ),
        info=CHASSIS_TABLE,
    )
    Table(
        "parked_messages",
        metadata,
        Column("seq", BigInteger, Identity(always=True), primary_key=True),
        Column("parked_key_id", ForeignKey("parked_keys.id"), nullable=False),
        Column("topic", Text, nullable=False),
        Column("partition", Integer, nullable=False),
        Column("log_offset", BigInteger, nullable=False),
        Column("source", Text, nullable=False),
        Column("id", Text, nullable=False),
        Column("type", Text),
        Column("key", LargeBinary),
        # Not JSONB: it rejects U+0000 and lone surrogates, and a message is kept as received.
        Column("headers", JSON, nullable=False),
        Column("payload", LargeBinary),
        Column("sent_at", DateTime(timezone=True)),
        Column("attempts", Integer, nullable=False),
        Column("error", Text),
        _moment("parked_at"),
        Column("attempted_at", DateTime(timezone=True)),
        Index("ix_parked_messages_parked_key_id_seq", "parked_key_id", "seq"),
        info=CHASSIS_TABLE,
    )


def _declare_operations(metadata: MetaData) -> None:
    """Declare what people did to parked messages, and which replays they requested."""
    Table(
        "dead_letter_actions",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        _moment("at", index=True),
        Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("topic", Text, nullable=False),
        Column("key", Text),
        Column("type", Text),
        Column("source", Text, nullable=False),
        Column("message_id", Text, nullable=False),
        info=CHASSIS_TABLE,
    )
    Table(
        "replays",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("snapshot", Text, nullable=False),
        Column("requested_by", Text, nullable=False),
        _moment("requested_at"),
        Column("cursor", Text),
        Column("emitted", BigInteger, nullable=False, server_default=text("0")),
        Column("finished_at", DateTime(timezone=True)),
        Column("error", Text),
        Index(
            "uq_replays_unfinished",
            "snapshot",
            unique=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
        info=CHASSIS_TABLE,
    )
