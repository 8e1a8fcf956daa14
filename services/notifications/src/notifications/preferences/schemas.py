"""The shapes of preferences over HTTP."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from chassis.http import Shape
from chassis.integers import MAX_INTEGER
from chassis.versions import Expected
from notifications.kinds.models import Category, Channel
from notifications.preferences.models import Preferences, StoredPreferences

Locale = Annotated[
    str,
    Field(
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}$",
        description="The language of your notifications, as in BCP 47: `en`, `de-CH`. A language "
        "without texts falls back to English.",
    ),
]


class ChannelSwitches(Shape):
    """Which channels of a category are on."""

    in_app: bool = Field(default=True, description="The list and the live feed.")
    email: bool = True
    webhook: bool = True


class PreferencesBase(Shape):
    """The channels that are on for each category. What is left out is on."""

    orders: ChannelSwitches = ChannelSwitches()
    security: ChannelSwitches = Field(
        default=ChannelSwitches(), description="Always on; `false` is refused."
    )
    announcements: ChannelSwitches = ChannelSwitches()
    locale: Locale | None = None


class PreferencesOut(PreferencesBase):
    """A user's preferences."""

    version: int = Field(
        description="Rises by one with each change, from 0 for the defaults; also the ETag."
    )

    @classmethod
    def of(cls, stored: StoredPreferences) -> Self:
        """Return the shape of preferences."""
        chosen = stored.preferences
        switches = {
            category.value: ChannelSwitches(
                **{channel.value: chosen.has(category, channel) for channel in Channel}
            )
            for category in Category
        }
        return cls(**switches, locale=chosen.locale, version=stored.version)


class NewPreferences(PreferencesBase):
    """The preferences that replace the present ones, as a whole."""

    version: Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None = Field(
        default=None,
        description="Replace them only if they still have this version, as `If-Match` does.",
    )

    @property
    def expected(self) -> Expected:
        """What ``version`` demands."""
        return Expected() if self.version is None else Expected(among=frozenset({self.version}))

    def chosen(self) -> Preferences:
        """Return the preferences that the use case accepts."""
        return Preferences(
            muted=frozenset(
                (category, channel)
                for category in Category
                for channel in Channel
                if not getattr(getattr(self, category.value), channel.value)
            ),
            locale=self.locale,
        )


class ExportedPreferences(Shape):
    """What a user has chosen, in the export of their data."""

    muted: list[str] = Field(description="Each `CATEGORY.CHANNEL` that is switched off.")
    locale: str | None
    created_at: datetime
    updated_at: datetime
