"""Construct the reader of the audit log for one transaction."""

from typing import Annotated

from chassis.audit.reading import AuditReader
from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case


def audit_reader(_: ServiceResources, unit: Unit) -> AuditReader:
    """Return the reader of the audit log."""
    return AuditReader(unit)


AuditEntries = Annotated[AuditReader, use_case(audit_reader)]
