"""The table of preferences, and the rule which channels can be switched off."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Text, false, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from notifications.kinds.models import Category, Channel
from notifications.metadata import Base

REQUIRED = Category.SECURITY
"""The category whose channels can't be switched off."""


class Preference(Timestamped, Base):
    """The preferences of a user who has changed them; a user without a row has the defaults.

    ``muted`` has ``CATEGORY.CHANNEL`` for each channel that is switched off, in sorted order.
    A closed row accepts no changes: the account of its user was deleted, and only the id stays.
    """

    __tablename__ = "preferences"
    __table_args__ = (
        CheckConstraint(
            "NOT muted && ARRAY['security.in_app', 'security.email', 'security.webhook']",
            name="security_on",
        ),
        CheckConstraint("NOT is_closed OR (muted = '{}' AND locale IS NULL)", name="closed_empty"),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    muted: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    locale: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    is_closed: Mapped[bool] = mapped_column(server_default=false())


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a user has chosen.

    Attributes:
        muted: the channels that are switched off, each for a category.
        locale: the language of texts (BCP 47); None is the default.
    """

    muted: frozenset[tuple[Category, Channel]] = frozenset()
    locale: str | None = None

    def has(self, category: Category, channel: Channel) -> bool:
        """Return whether the channel is on for the category."""
        return (category, channel) not in self.muted


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPreferences:
    """Preferences with the number of their changes, and whether they are closed."""

    preferences: Preferences
    version: int
    is_closed: bool


def names_of(muted: frozenset[tuple[Category, Channel]]) -> list[str]:
    """Return the texts that the table has for `muted`."""
    return sorted(f"{category}.{channel}" for category, channel in muted)


def muted_of(names: list[str]) -> Iterator[tuple[Category, Channel]]:
    """Yield what the texts of the table stand for."""
    for name in names:
        category, _, channel = name.partition(".")
        yield Category(category), Channel(channel)
