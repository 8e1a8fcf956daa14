"""The contracts of all services: topics and events, one module per producing service."""

from types import ModuleType

from contracts import notifications, orders, users
from contracts.base import Event, Money, Topic, UnfitEventError, VersionedEvent

_PRODUCERS = (users, orders, notifications)


def _topics_of(module: ModuleType) -> list[Topic]:
    return [value for value in vars(module).values() if isinstance(value, Topic)]


def _events_of(module: ModuleType) -> list[type[Event]]:
    """Return the events that a module declares; a base class defines no ``type`` of its own."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and "type" in vars(value)
    ]


TOPICS: tuple[Topic, ...] = tuple(topic for module in _PRODUCERS for topic in _topics_of(module))
EVENTS: tuple[type[Event], ...] = tuple(
    event for module in _PRODUCERS for event in _events_of(module)
)

__all__ = ["EVENTS", "TOPICS", "Event", "Money", "Topic", "UnfitEventError", "VersionedEvent"]
