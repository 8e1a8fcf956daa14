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
        self._unit.defer(
            _INSERT,
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
