"""HTTP route of the audit log."""

from typing import Annotated

from fastapi import Query

from chassis.audit.reading import EntryPosition
from chassis.auth import Principal, require_scope
from chassis.http import Page, Pages, Router
from users.audit.schemas import AuditEntry, AuditQuery
from users.audit.wiring import AuditEntries

router = Router(prefix="/api/v1/audit", tags=["audit"])

Auditor = Annotated[Principal, require_scope("audit:read")]


@router.get("", operation_id="listAudit")
async def list_audit(
    query: Annotated[AuditQuery, Query()], _: Auditor, entries: AuditEntries, pages: Pages
) -> Page[AuditEntry]:
    """List who changed what in accounts and log-in sessions, the newest first.

    Administrators only. Entries are kept for 365 days.
    """
    found = await entries.page(query.page(EntryPosition), only=query.only)
    return pages.write(found, AuditEntry.of, query=query)
