"""Construct the live feed's objects for a process, for one transaction and for one socket."""

from dataclasses import dataclass
from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, resource
from notifications.feed.repository import FeedRepository
from notifications.feed.service import Connections, Feed
from notifications.settings import NotificationsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(ServiceResources):
    """The API process's resources, with the live feed's sockets and their settings."""

    settings: NotificationsSettings
    connections: Connections


def feed(resources: ServiceResources, unit: Unit) -> Feed:
    """Return the feed of one transaction."""
    return Feed(unit=unit, entries=FeedRepository(unit), wakeups=resources.wakeups)


def _resources(resources: Resources) -> Resources:
    return resources


ResourcesDep = Annotated[Resources, resource(_resources)]
