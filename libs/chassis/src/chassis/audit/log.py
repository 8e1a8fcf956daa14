"""Appends entries to the audit log, in the transaction of the change."""

import json
from collections.abc import Mapping

from chassis.actor import Actor
from chassis.database.unit import Unit
from chassis.telemetry import current_traceparent

_INSERT = """
    INSERT INTO audit_log (
        actor_kind, actor_id, session_id, api_key_id, methods, action, subject, details, address,
        request_id, traceparent
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
# The types can't be inferred from the columns, as they are in VALUES.
_INSERT_IF = """
    INSERT INTO audit_log (
        actor_kind, actor_id, session_id, api_key_id, methods, action, subject, details, address,
        request_id, traceparent
    ) SELECT $1::text, $2::uuid, $3::uuid, $4::uuid, $5::text[], $6::text, $7::text, $8::jsonb,
        $9::text, $10::text, $11::text
    WHERE $12::boolean
"""


class AuditLog:
    """The audit log of one transaction.

    Args:
        unit: the transaction. If it is rolled back, so are its entries.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def append(
        self,
        action: str,
        *,
        actor: Actor,
        subject: str,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Append one entry, with the other writes at the end of the transaction.

        Entries of the same transaction have no set order.

        Args:
            action: what was done: a noun and a past participle, ``user.roles_changed``.
            actor: who did it.
            subject: what it was done to: ``user:<id>``.
            details: further facts as JSON, without secrets: values before and after.
        """
        self._unit.defer(_INSERT, *_entry(action, actor, subject, details))

    def append_if(self, wanted: bool, action: str, *, actor: Actor, subject: str) -> None:
        """Send the same statement whether or not it appends an entry.

        So the work of a request does not reveal whether its subject exists.

        Args:
            wanted: whether to append the entry.
            action: see ``append``.
            actor: likewise.
            subject: likewise.
        """
        self._unit.defer(_INSERT_IF, *_entry(action, actor, subject, None), wanted)


def _entry(
    action: str, actor: Actor, subject: str, details: Mapping[str, object] | None
) -> tuple[object, ...]:
    """Return the columns of an entry, in the order of the INSERT."""
    return (
        actor.kind,
        actor.user_id,
        actor.session_id,
        actor.api_key_id,
        sorted(actor.methods),
        action,
        subject,
        json.dumps(details or {}),
        actor.address,
        actor.request_id,
        current_traceparent(),
    )
