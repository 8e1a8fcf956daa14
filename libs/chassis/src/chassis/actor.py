"""The actor: what a use case knows about its caller, which is a user, an API key or a job."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class ActorKind(StrEnum):
    """The kind of an actor."""

    USER = "user"
    API_KEY = "api_key"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, and how they were authenticated.

    Attributes:
        kind: the kind of actor.
        user_id: the user, or the owner of the API key; None for the system.
        session_id: the log-in session; None for API keys and the system.
        api_key_id: the API key; None for all others.
        methods: how the user was authenticated, as RFC 8176 names it: ``pwd``, ``otp``.
        authenticated_at: when that happened.
        expires_at: when the access token expires.
        address: the client's network address; None for the system.
        request_id: the id of the request; None for the system.
    """

    kind: ActorKind
    user_id: UUID | None = None
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    methods: frozenset[str] = frozenset()
    authenticated_at: datetime | None = None
    expires_at: datetime | None = None
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request without an access token came from.

    Attributes:
        address: the client's network address.
        request_id: the id of the request.
    """

    address: str
    request_id: str

    def acting_for(self, user_id: UUID) -> Actor:
        """Return the user as actor, who has proved their identity in the request itself."""
        return Actor(
            kind=ActorKind.USER,
            user_id=user_id,
            address=self.address,
            request_id=self.request_id,
        )


SYSTEM = Actor(kind=ActorKind.SYSTEM)
"""The actor of a job or a start-up task, which no user requested."""
