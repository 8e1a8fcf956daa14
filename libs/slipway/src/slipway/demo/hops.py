"""The hops of one order, read from the spans of its trace."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.orders import ORDERS
from slipway.local.spans import Span

_TOPIC = ORDERS.name


@dataclass(frozen=True, slots=True)
class HopKind:
    """One kind of hop, and the span that shows it.

    Attributes:
        name: the name of the hop.
        service: the process that writes the span.
        span: the beginning and the end of the span's name. Between them may be the prefix that an
            environment puts before a topic's name.
        shows: a description for people.
    """

    name: str
    service: str
    span: tuple[str, str]
    shows: str

    def matches(self, span: Span) -> bool:
        """Return whether `span` shows this hop."""
        begin, end = self.span
        named = span.name.startswith(begin) and span.name.endswith(end)
        return named and span.service == self.service and not span.error


HOPS = (
    HopKind("commit", "orders", ("commit", ""), "the order and its outbox row are committed"),
    HopKind("published", "orders-worker", ("send ", _TOPIC), "Kafka acknowledged the event"),
    HopKind(
        "consumed", "notifications-worker", ("process ", _TOPIC), "the event's handler has run"
    ),
    HopKind("stored", "notifications-worker", ("settle ", _TOPIC), "the notification is committed"),
    HopKind("pushed", "notifications", ("", "push"), "the notification is sent on the WebSocket"),
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop that was found. `at` is its time in nanoseconds since 1970."""

    kind: HopKind
    at: int


def find_hops(spans: Iterable[Span]) -> tuple[list[Hop], list[HopKind]]:
    """Return the hops that the spans show, and the missing ones. A hop ends when its span ends."""
    spans = list(spans)
    found: list[Hop] = []
    missing: list[HopKind] = []
    for kind in HOPS:
        ends = [span.end for span in spans if kind.matches(span)]
        if ends:
            found.append(Hop(kind, min(ends)))
        else:
            missing.append(kind)
    return found, missing
