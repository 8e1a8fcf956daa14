"""The contract of the users service: accounts, ended sessions, and requests to send a mail."""

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

# Access tokens live for ten minutes by default: a process that starts needs no older events.
SESSIONS = Topic(
    name="slipway.sessions",
    producer="users",
    key="the user's id",
    partitions=1,
    retention=timedelta(hours=1),
    segment=timedelta(minutes=10),
    personal_data=True,
)

# It holds secrets and former addresses. So it is kept for a short time by the broker's clock, and
# only one service may read it.
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


class UserPasswordChanged(UserEvent):
    """The account has another password; other log-in sessions of the user have ended."""

    type: ClassVar[str] = "user.password_changed.v1"

    method: str = Field(
        description="`change`: with the former password; `reset`: with the token of a mail; others "
        "may come."
    )
    changed_at: AwareDatetime


class UserSecondFactorChanged(UserEvent):
    """A second factor of the account was added or removed."""

    type: ClassVar[str] = "user.second_factor_changed.v1"

    factor: str = Field(description="`totp`, `passkey` or `recovery_codes`; others may come.")
    change: str = Field(description="`added`, `removed` or `replaced`; others may come.")
    changed_at: AwareDatetime


class UserApiKeyCreated(UserEvent):
    """The user has a new API key. The event contains neither the key nor its name."""

    type: ClassVar[str] = "user.api_key_created.v1"

    api_key_id: UUID
    expires_at: AwareDatetime
    created_at: AwareDatetime


class UserRolesChanged(UserEvent):
    """An administrator changed the roles; the event carries all of them."""

    type: ClassVar[str] = "user.roles_changed.v1"

    roles: list[str]


class UserDeactivated(UserEvent):
    """The account can no longer be used; its data are kept."""

    type: ClassVar[str] = "user.deactivated.v1"

    deactivated_at: AwareDatetime


class UserReactivated(UserEvent):
    """An account that was deactivated can be used again."""

    type: ClassVar[str] = "user.reactivated.v1"

    reactivated_at: AwareDatetime


class UserDeleted(UserEvent):
    """The account was deleted; services that hold data of the user erase or anonymise them."""

    type: ClassVar[str] = "user.deleted.v1"

    deleted_at: AwareDatetime


class UserSnapshot(UserEvent):
    """The present state of an account, published by a replay, with the version of its last event.

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
    """Sessions or API keys of a user ended: their access tokens are no longer valid."""

    type: ClassVar[str] = "session.revoked.v1"
    topic: ClassVar[Topic] = SESSIONS

    user_id: UUID
    sids: list[UUID] = Field(
        min_length=1, description="The claim `sid` or `api_key` of the access tokens."
    )
    revoked_at: AwareDatetime

    @property
    def subject(self) -> str:
        """The user's id."""
        return str(self.user_id)


class MailRequest(Event):
    """A request to send a mail; it contains all data that the sender needs."""

    topic: ClassVar[Topic] = USERS_PRIVATE

    user_id: UUID
    email: str = Field(description="Where the mail goes.")
    locale: str = Field(description="The user's language, as in BCP 47: `en`, `de-CH`.")

    @property
    def subject(self) -> str:
        """The user's id."""
        return str(self.user_id)


class TokenMailRequest(MailRequest):
    """A request to send a mail with a secret."""

    token: str = Field(description="A secret: it is never logged, and erased once it is sent.")
    expires_at: AwareDatetime = Field(description="When the token expires; it is not kept longer.")


class EmailVerificationRequested(TokenMailRequest):
    """A request for a mail by which the user proves that mails to the address arrive."""

    type: ClassVar[str] = "email_verification.requested.v1"


class PasswordResetRequested(TokenMailRequest):
    """A request for a mail by which the user chooses a new password."""

    type: ClassVar[str] = "password_reset.requested.v1"


class EmailChangeNoticeRequested(MailRequest):
    """A request to tell a user at the previous address that the account has another one.

    The address is not in the public `user.email_changed.v1`: the user no longer uses it here, and
    consumers other than the sender of mails do not need it.
    """

    type: ClassVar[str] = "email_change_notice.requested.v1"

    changed_at: AwareDatetime
