"""The hops of an order are found in its trace, and missing ones are named."""

from slipway.demo.hops import HOPS, find_hops
from slipway.local.spans import Span


def span(service: str, name: str, end: int, *, error: bool = False) -> Span:
    return Span(
        trace_id="t",
        span_id="s",
        parent_span_id=None,
        service=service,
        name=name,
        kind="internal",
        start=0,
        end=end,
        error=error,
        attributes={},
    )


def test_the_earliest_span_of_each_kind_counts() -> None:
    spans = [
        span("orders", "commit", 10),
        span("orders-worker", "send slipway.orders", 20),
        span("notifications-worker", "process slipway.orders", 25, error=True),
        span("notifications-worker", "process slipway.orders", 35),
        span("notifications-worker", "process slipway.orders", 30),
        span("notifications-worker", "settle slipway.orders", 37),
        span("notifications", "feed push", 40),
        span("notifications-worker", "commit", 1),
    ]
    found, missing = find_hops(spans)
    assert [(hop.kind.name, hop.at) for hop in found] == [
        ("commit", 10),
        ("published", 20),
        ("consumed", 30),
        ("stored", 37),
        ("pushed", 40),
    ]
    assert missing == []


def test_what_is_missing_is_named() -> None:
    assert find_hops([]) == ([], list(HOPS))
