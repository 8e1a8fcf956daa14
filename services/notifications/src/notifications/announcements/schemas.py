"""The request and response bodies of announcements."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from chassis.http import Id, Name, Shape
from chassis.times import Moment
from notifications.announcements.models import ANNOUNCEMENTS_KEPT

_MAX_BODY = 2000
_MAX_MEMBERS = 20

Key = Annotated[str, Field(min_length=1, max_length=100)]
Value = Annotated[str, Field(max_length=1000)]


class NewAnnouncement(Shape):
    """What every user is to be told."""

    title: Name
    body: Annotated[str, Field(min_length=1, max_length=_MAX_BODY)]
    data: dict[Key, Value] = Field(
        default_factory=dict,
        max_length=_MAX_MEMBERS,
        description="For clients, in the notification's `data`: a link, for example.",
    )
    expires_at: Annotated[
        Moment | None,
        Field(
            description="Users who come after this time do not get it. In any case, those who come "
            f"{ANNOUNCEMENTS_KEPT.days} days after it was published do not."
        ),
    ] = None


class AnnouncementOut(Shape):
    """One announcement."""

    id: Id
    title: str
    body: str
    data: dict[str, str]
    author_id: Id = Field(description="The user who published it.")
    created_at: datetime
    expires_at: datetime | None
    withdrawn_at: datetime | None = Field(
        description="When it was withdrawn; null: it was not. No user gets it after that."
    )
