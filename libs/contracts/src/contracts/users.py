"""What the users service announces."""

from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.base import Event, Topic

USERS = Topic(
    name="slipway.users",
    producer="users",
    key="the user's id",
    partitions=6,
    retention=timedelta(days=3),
)


class UserEvent(Event):
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


class UserProfileUpdated(UserEvent):
    """The user's own data changed; the event carries all of them."""

    type: ClassVar[str] = "user.profile_updated.v1"

    full_name: str


class UserRolesChanged(UserEvent):
    """An administrator changed the roles; the event carries all of them."""

    type: ClassVar[str] = "user.roles_changed.v1"

    roles: list[str]
