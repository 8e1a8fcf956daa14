"""The exports of the chassis' own tables, which every service has that has the table."""

import json
from collections.abc import AsyncIterator, Container, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from chassis.database.statements import each_row
from chassis.database.unit import Unit
from chassis.errors import Unavailable
from chassis.exports.declared import Export
from chassis.operations.redaction import redacted_payload
from chassis.wiring import ServiceResources

_RESPONSES = """
    SELECT endpoint, key, status, body, created_at FROM idempotency_keys
    WHERE caller = $1 AND (endpoint, key) > ($2, $3)
    ORDER BY endpoint, key LIMIT $4
"""
# The key of a message about an order is the order's id, so the payload is searched as well. The
# table has rows only while messages fail, so no index serves this.
_PARKED = """
    SELECT seq, topic, type, id, parked_at, payload FROM parked_messages
    WHERE seq > $2 AND (key = convert_to($1, 'UTF8')
        OR position(convert_to($1, 'UTF8') IN payload) > 0)
    ORDER BY seq LIMIT $3
"""
# What somebody else did to the person is shown without their address, and what the person did to
# somebody else without the details: both are data of the other.
_AUDIT = """
    SELECT id, at, action, subject,
        CASE WHEN actor_id = $1 THEN address END AS address,
        CASE WHEN subject = $2 THEN details END AS details
    FROM audit_log
    WHERE (actor_id = $1 OR subject = $2) AND id > $3
    ORDER BY id LIMIT $4
"""
# The arguments are JSON without a fixed shape, and the texts in them are quoted: a person's id or
# address is a whole text. No index serves this: one on texts would cost each job of the system more
# than it saves, since finished jobs are deleted after a day. A million jobs took 7 s. For ASCII,
# the rules of the collation C find the same texts in less than half of that.
_JOBS = """
    SELECT id, kind, state, enqueued_at, finished_at, arguments::text AS arguments FROM jobs
    WHERE id > $2 AND position($1 IN lower(arguments::text)) > 0
    ORDER BY id LIMIT $3
"""
_JOBS_ASCII = _JOBS.replace("arguments::text)", 'arguments::text COLLATE "C")')
_COUNT_JOBS = "SELECT count(*) FROM (SELECT FROM jobs LIMIT $1) AS counted"
_MAX_JOBS = 500_000
_RETRY_SECONDS = 600  # a backlog of so many jobs takes a while


class ExportedResponse(BaseModel):
    """A response that is kept for a day under an Idempotency-Key, to be sent again."""

    request: Annotated[str, Field(description="Method and path.")]
    idempotency_key: str
    status: int
    body: Any
    created_at: datetime


class ExportedMessage(BaseModel):
    """A message about the person that could not be handled yet."""

    topic: str
    type: str | None
    id: str
    parked_at: datetime
    data: Annotated[
        Any, Field(description="Texts are shown by their length: they may hold a secret.")
    ]


class ExportedAuditEntry(BaseModel):
    """What the person did on record, or what was done to their account."""

    at: datetime
    action: str
    subject: str
    address: Annotated[
        str | None, Field(description="The person's network address; null: another person acted.")
    ]
    details: Annotated[
        dict[str, Any] | None, Field(description="null: another person's data was changed.")
    ]


class ExportedJob(BaseModel):
    """Work about the person that waits or was done; it is kept for a day after its end."""

    kind: str
    state: str
    enqueued_at: datetime
    finished_at: datetime | None
    arguments: Annotated[
        Any, Field(description="Texts are shown by their length: they may hold a secret.")
    ]


async def _stored_responses(
    unit: Unit, _: ServiceResources, person: UUID
) -> AsyncIterator[ExportedResponse]:
    async for row in each_row(unit, _RESPONSES, person, after={"endpoint": "", "key": ""}):
        yield ExportedResponse(
            request=row["endpoint"],
            idempotency_key=row["key"],
            status=row["status"],
            body=json.loads(row["body"]),
            created_at=row["created_at"],
        )


async def _parked_messages(
    unit: Unit, _: ServiceResources, person: UUID
) -> AsyncIterator[ExportedMessage]:
    async for row in each_row(unit, _PARKED, str(person), after={"seq": 0}):
        yield ExportedMessage(
            topic=row["topic"],
            type=row["type"],
            id=row["id"],
            parked_at=row["parked_at"],
            data=redacted_payload(row["payload"]),
        )


async def _audit_entries(
    unit: Unit, _: ServiceResources, person: UUID
) -> AsyncIterator[ExportedAuditEntry]:
    async for row in each_row(unit, _AUDIT, person, f"user:{person}", after={"id": 0}):
        yield ExportedAuditEntry(**{name: row[name] for name in ExportedAuditEntry.model_fields})


def _jobs(unit: Unit, _: ServiceResources, person: UUID) -> AsyncIterator[ExportedJob]:
    return exported_jobs(unit, about=str(person))


async def exported_jobs(
    unit: Unit, *, about: str, most: int = _MAX_JOBS
) -> AsyncIterator[ExportedJob]:
    """Yield the jobs that have a text among their arguments, in any case, oldest first.

    Args:
        unit: a transaction.
        about: the whole text: a person's id or address.
        most: how many jobs are searched at most, whomever they are about.

    Raises:
        Unavailable: there are more jobs than `most`. An export without some of them would look
            complete.
    """
    [[count]] = await unit.fetch(_COUNT_JOBS, most + 1)
    if count > most:
        message = (
            f"The service has more than {most} jobs. An export would have to search all of them, "
            "and is not possible until fewer are left. Try again later."
        )
        raise Unavailable(message, retry_after=_RETRY_SECONDS)
    sql = _JOBS_ASCII if about.isascii() else _JOBS
    async for row in each_row(unit, sql, f'"{about}"'.lower(), after={"id": 0}):
        yield ExportedJob(
            kind=row["kind"],
            state=row["state"],
            enqueued_at=row["enqueued_at"],
            finished_at=row["finished_at"],
            arguments=redacted_payload(row["arguments"].encode()),
        )


_OF_TABLES: Mapping[str, Export[ServiceResources]] = {
    "idempotency_keys": Export(
        name="stored_responses", item=ExportedResponse, scope=None, read=_stored_responses
    ),
    "parked_messages": Export(
        name="parked_messages", item=ExportedMessage, scope=None, read=_parked_messages
    ),
    "audit_log": Export(name="audit_log", item=ExportedAuditEntry, scope=None, read=_audit_entries),
    "jobs": Export(name="jobs", item=ExportedJob, scope=None, read=_jobs),
}


def chassis_exports(tables: Container[str]) -> tuple[Export[ServiceResources], ...]:
    """Return the exports of the chassis' tables that a service has."""
    return tuple(export for table, export in _OF_TABLES.items() if table in tables)
