"""The exports of the chassis' own tables, which every service has that has the table."""

import json
from collections.abc import AsyncIterator, Container, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from chassis.database.unit import Unit
from chassis.exports.declared import Export
from chassis.operations.redaction import redacted_payload
from chassis.wiring import ServiceResources

_PAGE = 100

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


async def _stored_responses(
    unit: Unit, _: ServiceResources, person: UUID
) -> AsyncIterator[ExportedResponse]:
    after = ("", "")
    while True:
        rows = await unit.fetch(_RESPONSES, person, *after, _PAGE)
        for row in rows:
            yield ExportedResponse(
                request=row["endpoint"],
                idempotency_key=row["key"],
                status=row["status"],
                body=json.loads(row["body"]),
                created_at=row["created_at"],
            )
        if len(rows) < _PAGE:
            return
        after = (rows[-1]["endpoint"], rows[-1]["key"])


async def _parked_messages(
    unit: Unit, _: ServiceResources, person: UUID
) -> AsyncIterator[ExportedMessage]:
    after = 0
    while True:
        rows = await unit.fetch(_PARKED, str(person), after, _PAGE)
        for row in rows:
            yield ExportedMessage(
                topic=row["topic"],
                type=row["type"],
                id=row["id"],
                parked_at=row["parked_at"],
                data=redacted_payload(row["payload"]),
            )
        if len(rows) < _PAGE:
            return
        after = rows[-1]["seq"]


async def _audit_entries(
    unit: Unit, _: ServiceResources, person: UUID
) -> AsyncIterator[ExportedAuditEntry]:
    after = 0
    while True:
        rows = await unit.fetch(_AUDIT, person, f"user:{person}", after, _PAGE)
        for row in rows:
            yield ExportedAuditEntry(
                **{name: row[name] for name in ExportedAuditEntry.model_fields}
            )
        if len(rows) < _PAGE:
            return
        after = rows[-1]["id"]


_OF_TABLES: Mapping[str, Export[ServiceResources]] = {
    "idempotency_keys": Export(
        name="stored_responses", item=ExportedResponse, scope=None, read=_stored_responses
    ),
    "parked_messages": Export(
        name="parked_messages", item=ExportedMessage, scope=None, read=_parked_messages
    ),
    "audit_log": Export(name="audit_log", item=ExportedAuditEntry, scope=None, read=_audit_entries),
}


def chassis_exports(tables: Container[str]) -> tuple[Export[ServiceResources], ...]:
    """Return the exports of the chassis' tables that a service has."""
    return tuple(export for table, export in _OF_TABLES.items() if table in tables)
