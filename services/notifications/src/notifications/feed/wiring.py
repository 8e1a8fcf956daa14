"""Construct the live feed's objects for a process, for one transaction and for one connection."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from opentelemetry import trace

from chassis.auth.principal import InsufficientScope, Principal
from chassis.database import is_infrastructure_error
from chassis.database.unit import Unit
from chassis.errors import DomainError, Unauthenticated, Unavailable
from chassis.http.problems import status_of
from chassis.telemetry.tracing import is_sampled, span_from
from chassis.wiring import ServiceResources, resource
from notifications.feed.errors import ServerStopping
from notifications.feed.models import Announcements, Start
from notifications.feed.repository import FeedRepository, Item
from notifications.feed.service import Connection, Connections, Feed
from notifications.kinds.wiring import SCOPE, NotifyingResources
from notifications.settings import NotificationsSettings

CLIENT_CLOSED = "client"
"""What stands for a close code in metrics if the client closed the connection."""

# The errors for which RFC 6455 or its registry has a close code; of two that fit, the first holds.
_CODES: Mapping[type[DomainError], int] = {ServerStopping: 1012, Unavailable: 1013}
_INTERNAL_ERROR = 1011
_FIRST_OF_OUR_OWN = 4000  # to 4999 (RFC 6455 §7.4.2)

tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(NotifyingResources):
    """The API process's resources, with the live feed's connections and their settings.

    Attributes:
        announcements: takes announcements into the feeds of connected users.
    """

    settings: NotificationsSettings
    connections: Connections
    announcements: Announcements


def feed(resources: ServiceResources, unit: Unit) -> Feed:
    """Return the feed of one transaction."""
    return Feed(unit=unit, entries=FeedRepository(unit), wakeups=resources.wakeups)


def caller_of(resources: Resources, token: str) -> Principal:
    """Return the user of an access token.

    Raises:
        Unauthenticated: the token is not valid.
        InsufficientScope: it lacks the scope of the feed.
    """
    try:
        caller = resources.verifier.verify(token)
    except ValueError as error:
        raise Unauthenticated(str(error)) from error
    if SCOPE not in caller.scopes:
        message = f"The access token lacks the scope {SCOPE}. Use one that has it."
        raise InsufficientScope(message, extra={"scope": SCOPE})
    return caller


async def start_of(resources: Resources, caller: Principal, last_event_id: int | None) -> Start:
    """Return where a connection starts that has joined already, and take announcements in.

    Raises:
        Unavailable: the database is.
    """
    try:
        async with resources.database.transaction() as unit:
            await resources.announcements.take_in_for(unit, caller.user_id)
            return await feed(resources, unit).find_start(caller.user_id, last_event_id)
    except Exception as error:
        if not is_infrastructure_error(error):
            raise
        message = "The database is unavailable. Connect again in a moment."
        raise Unavailable(message) from error


def close_code(error: type[DomainError]) -> int:
    """Return the close code of a type of error; a stream, which has none, is counted by it.

    If no registered code fits, it is 4000 plus the HTTP status (4401, 4403, 4429), or 1011 for a
    status of 500 and above.
    """
    for kind, code in _CODES.items():
        if issubclass(error, kind):
            return code
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _INTERNAL_ERROR
    return _FIRST_OF_OUR_OWN + status


@contextmanager
def pushing(resources: Resources, connection: Connection, item: Item) -> Iterator[None]:
    """Measure an item's age, and push it within a span of the trace that caused it, if sampled."""
    age = connection.age_of(item)
    if age is not None:
        resources.connections.metrics.age.observe(age)
    headers = {} if item.traceparent is None else {"traceparent": item.traceparent}
    if headers and not is_sampled(headers):  # most are not: those cost nothing here
        yield
        return
    with span_from(
        tracer,
        "notifications push",
        headers,
        kind=trace.SpanKind.PRODUCER,
        attributes={"feed.event_id": item.event_id, "feed.type": item.type},
    ):
        yield


def _resources(resources: Resources) -> Resources:
    return resources


ResourcesDep = Annotated[Resources, resource(_resources)]
