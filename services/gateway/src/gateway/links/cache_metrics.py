"""The metrics of the cache."""

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.links.copies import Copies


class Use(StrEnum):
    """How the cache answered a request."""

    HIT = "hit"
    STALE = "stale"
    COLLAPSED = "collapsed"
    CONFIRMED = "confirmed"
    MISS = "miss"
    BYPASS = "bypass"


class CacheMetrics:
    """Counts the uses of the cache, and shows its size.

    Args:
        registry: the process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "gateway_cache_requests",
            "Requests of cacheable routes: hit; stale (sent during renewal or for a failure); "
            "collapsed (waited for the fetch of another); confirmed (by 304); miss; bypass.",
            ("use",),
            registry=registry,
        )
        self._bytes = Gauge("gateway_cache_bytes", "The size of the copies.", registry=registry)
        self._dropped = Gauge(
            "gateway_cache_dropped_targets",
            "Targets whose copies were dropped to make room, since the start.",
            registry=registry,
        )
        self._uses = {use: requests.labels(use) for use in Use}

    def count(self, use: Use) -> None:
        """Count one use."""
        self._uses[use].inc()

    def show(self, copies: Copies) -> None:
        """Show the size of these copies whenever the metrics are read."""
        self._bytes.set_function(lambda: copies.bytes)
        self._dropped.set_function(lambda: copies.dropped)
