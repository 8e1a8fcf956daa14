"""The parameters and the response bodies of the audit log."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from chassis.audit.reading import Entry, EntryFilter
from chassis.http import Id, PageQuery, Shape
from chassis.times import Moment

_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class AuditQuery(PageQuery):
    """Which entries to list."""

    action: Annotated[_Text | None, Field(description="What was done: `user.roles_changed`.")] = (
        None
    )
    subject: Annotated[_Text | None, Field(description="What it was done to: `user:<id>`.")] = None
    actor: Annotated[
        Id | None, Field(description="The user who did it, or the owner of the API key.")
    ] = None
    since: Annotated[Moment | None, Field(description="Only entries from this time on.")] = None
    before: Annotated[Moment | None, Field(description="Only entries before this time.")] = None

    @property
    def only(self) -> EntryFilter:
        """The filter that the parameters mean."""
        return EntryFilter(
            action=self.action,
            subject=self.subject,
            actor_id=self.actor,
            since=self.since,
            before=self.before,
        )


class AuditActor(Shape):
    """Who acted, and how they were authenticated."""

    kind: Literal["user", "api_key", "system"]
    id: Id | None = Field(description="The user, or the owner of the API key; null: the system.")
    session_id: Id | None
    api_key_id: Id | None
    methods: list[str] | None = Field(
        description="How the user was authenticated (RFC 8176); null: not recorded."
    )


class AuditEntry(Shape):
    """One entry of the audit log."""

    id: int
    at: datetime
    actor: AuditActor
    action: str
    subject: str
    details: dict[str, Any] = Field(description="Further facts, such as values before and after.")
    address: str | None = Field(description="The client's network address; null: the system.")
    request_id: str | None
    traceparent: str | None = Field(description="The trace of the request (W3C Trace Context).")

    @classmethod
    def of(cls, entry: Entry) -> "AuditEntry":
        """Return the body of an entry."""
        return cls.model_validate(
            {
                "actor": {
                    "kind": entry.actor_kind,
                    "id": entry.actor_id,
                    "session_id": entry.session_id,
                    "api_key_id": entry.api_key_id,
                    "methods": entry.methods,
                },
                **{name: getattr(entry, name) for name in cls.model_fields if name != "actor"},
            }
        )
