"""The way of one order, read from the spans of its trace."""

from collections.abc import Iterable
from dataclasses import dataclass

from slipway.spans import Span

_TOPIC = "slipway.orders"


@dataclass(frozen=True, slots=True)
class HopKind:
    """Which span shows a hop, and where.

    Attributes:
        name: of the hop.
        service: the process that makes the span.
        span: the beginning of its name; where that is a topic's, its end, as environments may put
            a prefix before the topic.
        shows: what it is, for people.
    """

    name: str
    service: str
    span: tuple[str, str]
    shows: str

    def matches(self, span: Span) -> bool:
        """Whether `span` shows this hop."""
        begin, end = self.span
        named = span.name.startswith(begin) and span.name.endswith(end)
        return named and span.service == self.service and not span.error


HOPS = (
    HopKind("commit", "orders", ("commit", ""), "order and outbox row are committed"),
    HopKind("published", "orders-worker", ("send ", _TOPIC), "Kafka acknowledged the event"),
    HopKind("consumed", "notifications-worker", ("process ", _TOPIC), "the notification is stored"),
    HopKind("pushed", "notifications", ("", "push"), "it is sent on the WebSocket"),
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop that was found; `at` is in nanoseconds since 1970."""

    kind: HopKind
    at: int


def find_hops(spans: Iterable[Span]) -> tuple[list[Hop], list[HopKind]]:
    """The hops that the spans show, and those that they don't. A hop is over when its span ends."""
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
