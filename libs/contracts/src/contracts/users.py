"""What the users service announces: accounts, ended sessions, and mails that it wants sent."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Event, Topic, VersionedEvent

USERS = Topic(
    name="slipway.users",
    producer="users",
    key="the user's id",
    partitions=6,
    retention=timedelta(days=3),
    personal_data=True,
)

# Access tokens live for ten minutes: who starts later than that has nothing to learn from it.
SESSIONS = Topic(
    name="slipway.sessions",
    producer="users",
    key="the user's id",
    partitions=1,
    retention=timedelta(hours=1),
    segment=timedelta(minutes=10),
    personal_data=True,
)

# It holds secrets, so it is short-lived by the broker's own clock, and one service may read it.
USERS_PRIVATE = Topic(
    name="slipway.users.private",
    producer="users",
    key="the user's id",
    partitions=3,
    retention=timedelta(days=1),
    segment=timedelta(hours=1),
    personal_data=True,
    timestamp_type="LogAppendTime",
    readers=("notifications",),
)


class UserEvent(VersionedEvent):
    """Something that happened to an account."""

    topic: ClassVar[Topic] = USERS

    user_id: UUID

    @property
    def subject(self) -> str:
        """The user's id."""
        return str(self.user_id)


class UserRegistered(UserEvent):
    """An account was made; its address is not verified yet."""

    type: ClassVar[str] = "user.registered.v1"

    email: str = Field(description="As the user gave it, with the domain in lower case.")
    full_name: str
    roles: list[str]


class UserEmailVerified(UserEvent):
    """The user proved that mails to the address arrive."""

    type: ClassVar[str] = "user.email_verified.v1"

    email: str = Field(description="The address that is verified now.")


class UserProfileUpdated(UserEvent):
    """The user's own data changed; the event carries all of them."""

    type: ClassVar[str] = "user.profile_updated.v1"

    full_name: str


class UserEmailChanged(UserEvent):
    """The account has another address, which the user has confirmed."""

    type: ClassVar[str] = "user.email_changed.v1"

    email: str = Field(description="The new address; it is verified.")


class UserRolesChanged(UserEvent):
    """An administrator changed the roles; the event carries all of them."""

    type: ClassVar[str] = "user.roles_changed.v1"

    roles: list[str]


class UserDeactivated(UserEvent):
    """The account can't be used any longer; its data are kept."""

    type: ClassVar[str] = "user.deactivated.v1"

    deactivated_at: AwareDatetime


class UserDeleted(UserEvent):
    """The account is gone; who holds data of the user erases or anonymises them."""

    type: ClassVar[str] = "user.deleted.v1"

    deleted_at: AwareDatetime


class UserSnapshot(UserEvent):
    """What an account is at present, published by a replay; the version is that of its last event.

    A consumer that knows the same or a higher version ignores it. Deleted accounts have none.
    """

    type: ClassVar[str] = "user.snapshot.v1"
    snapshot: ClassVar[bool] = True

    email: str
    email_verified: bool
    full_name: str
    roles: list[str]
    is_active: bool
    registered_at: AwareDatetime


class SessionRevoked(Event):
    """Sessions of a user ended: access tokens with these `sid` are good no longer."""

    type: ClassVar[str] = "session.revoked.v1"
    topic: ClassVar[Topic] = SESSIONS

    user_id: UUID
    sids: list[UUID] = Field(min_length=1, description="The claim `sid` of the access tokens.")
    revoked_at: AwareDatetime

    @property
    def subject(self) -> str:
        """The user's id."""
        return str(self.user_id)


class MailRequest(Event):
    """A mail with a secret; it stands alone, so that nothing else need be known to send it."""

    topic: ClassVar[Topic] = USERS_PRIVATE

    user_id: UUID
    email: str = Field(description="Where the mail goes.")
    locale: str = Field(description="The user's language, as in BCP 47: `en`, `de-CH`.")
    token: str = Field(description="A secret: it is never logged, and erased once it is sent.")
    expires_at: AwareDatetime = Field(description="The token is good, and kept, no longer.")

    @property
    def subject(self) -> str:
        """The user's id."""
        return str(self.user_id)


class EmailVerificationRequested(MailRequest):
    """A mail is wanted that lets the user prove that it arrives."""

    type: ClassVar[str] = "email_verification.requested.v1"


class PasswordResetRequested(MailRequest):
    """A mail is wanted that lets the user choose a new password."""

    type: ClassVar[str] = "password_reset.requested.v1"
