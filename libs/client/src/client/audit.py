"""The audit log, for administrators."""

from datetime import datetime
from typing import Any
from uuid import UUID

from client.calls import Calls, params_of
from client.shapes import ActorKind, Answer, Known, Page
from client.tokens import Token


class AuditActor(Answer):
    """Who acted, and how they were authenticated (`methods`, RFC 8176)."""

    kind: Known[ActorKind]
    id: UUID | None
    session_id: UUID | None
    api_key_id: UUID | None
    methods: tuple[str, ...] | None


class AuditEntry(Answer):
    """One entry of the audit log: who did what to whom, from which address."""

    id: int
    at: datetime
    actor: AuditActor
    action: str
    subject: str
    details: dict[str, Any]
    address: str | None
    request_id: str | None
    traceparent: str | None


class AuditCalls(Calls):
    """The calls that concern the audit log."""

    async def list_audit(
        self,
        token: Token,
        *,
        action: str | None = None,
        subject: str | None = None,
        actor: UUID | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[AuditEntry]:
        """Return one page of the audit log, newest first (admins only).

        Args:
            token: authenticates the call.
            action: what was done: `user.roles_changed`.
            subject: what it was done to: `user:<id>`.
            actor: the user who did it, or the owner of the API key.
            since: only entries from this time on.
            before: only entries before this time.
            limit: the size of the page.
            cursor: `next_cursor` of the page before.
        """
        params = params_of(
            action=action,
            subject=subject,
            actor=actor,
            since=since,
            before=before,
            limit=limit,
            cursor=cursor,
        )
        return await self.call(Page[AuditEntry], "GET", "/audit", token=token, params=params)
