"""The audit log: who did what to whom, from where; sealed into a chain of hashes."""

from chassis.audit.log import AuditLog
from chassis.audit.tables import declare_audit_table

__all__ = ["AuditLog", "declare_audit_table"]
