"""HTTP metrics: requests by route template, their durations, and the number in progress.

Labels are few and bounded: an unknown method is recorded as ``other``, a path that no route matches
as ``unmatched``. Names follow OpenTelemetry's semantic conventions for HTTP servers.
"""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from starlette.types import Scope

from chassis.telemetry.histograms import LoopHistogram

UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

type RouteOf = Callable[[Scope], str]


def route_template(scope: Scope) -> str:
    """Return the template of the route that Starlette matched: ``/api/v1/orders/{order_id}``."""
    route: Any = scope.get("route")
    template: str | None = getattr(route, "path", None)
    return UNMATCHED if template is None else template


class HttpMetrics:
    """Counts the requests of one process.

    Args:
        registry: the metrics registry of the process.
        route_of: returns the label of a request's route; called after the request was served.

    Attributes:
        route_of: as above.
    """

    def __init__(self, registry: CollectorRegistry, *, route_of: RouteOf = route_template) -> None:
        self.route_of = route_of
        self._active = 0
        self._duration = LoopHistogram(
            "http_server_request_duration_seconds",
            "From a request's head to the end of its response; its _count is the number of "
            "requests. Status 0: the client left before a response began.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        # Read when it is scraped: the library's lock would cost each request a microsecond.
        Gauge(
            "http_server_active_requests", "Requests that are being served.", registry=registry
        ).set_function(lambda: self._active)

    def began(self) -> None:
        """Count a request that begins."""
        self._active += 1

    def ended(
        self, route: str, method: str, *, status: int, seconds: float, trace_id: str | None = None
    ) -> None:
        """Record a request that ended.

        Args:
            route: the label of its route.
            method: its method.
            status: the status of its response; 0 without one.
            seconds: how long it took.
            trace_id: its trace, if that is recorded: the exemplar of its duration.
        """
        self._active -= 1
        known = method if method in _METHODS else "other"
        self._duration.observe((known, route, status), seconds, trace_id)
