"""Construct the live feed's objects for a process, for one transaction and for one socket."""

from dataclasses import dataclass
from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, resource
from notifications.feed.repository import FeedRepository
from notifications.feed.service import Announcements, Connections, Feed
from notifications.kinds.wiring import NotifyingResources
from notifications.settings import NotificationsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(NotifyingResources):
    """The API process's resources, with the live feed's sockets and their settings.

    Attributes:
        announcements: takes announcements into the feeds of connected users.
    """

    settings: NotificationsSettings
    connections: Connections
    announcements: Announcements


def feed(resources: ServiceResources, unit: Unit) -> Feed:
    """Return the feed of one transaction."""
    return Feed(unit=unit, entries=FeedRepository(unit), wakeups=resources.wakeups)


def _resources(resources: Resources) -> Resources:
    return resources


ResourcesDep = Annotated[Resources, resource(_resources)]
