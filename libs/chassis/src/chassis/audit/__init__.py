"""The audit log: who did what to whom, from where; sealed into a chain of hashes."""

from typing import TYPE_CHECKING

from chassis.first_use import at_first_use

if TYPE_CHECKING:
    from chassis.audit.log import AuditLog
    from chassis.audit.tables import declare_audit_table

__all__ = ["AuditLog", "declare_audit_table"]

__getattr__ = at_first_use(__name__, {"AuditLog": "log", "declare_audit_table": "tables"})
