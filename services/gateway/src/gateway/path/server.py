"""What all exchanges share: the services, the limits, the metrics, the deadlines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chassis.http.metrics import UNMATCHED, HttpMetrics
from chassis.raw_problems import Fields
from chassis.telemetry.request_lines import RequestLines
from gateway.admission import Admission
from gateway.bulkheads import Bulkhead, Bulkheads
from gateway.exchange import FieldLines, lines_of
from gateway.guards.guard import Guard
from gateway.headers import Kinds
from gateway.links.passage import RouteLinks
from gateway.links.standing import standing_fields
from gateway.path.answering import AnsweredRequest
from gateway.path.links import Duties
from gateway.path.sweep import Sweep
from gateway.pool import Pool
from gateway.routes import Route
from gateway.streams import Streams
from gateway.tracing import Traces
from gateway.upstreams import Upstream

_REMEMBERED_ORIGINS = 256

type CommonFields = Callable[[Fields], Fields]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRoute:
    """A route with all that its exchanges need, looked up once.

    Attributes:
        route: the entry of the table.
        upstream: its service.
        pool: the connections that its requests take.
        bulkhead: its bulkhead, if any.
        links: what its requests and responses pass, if anything.
        guard: decides whether its service gets another request.
        standing: the fields that every response has, whoever makes it.
    """

    route: Route
    upstream: Upstream
    pool: Pool
    bulkhead: Bulkhead | None
    links: RouteLinks | None
    guard: Guard
    standing: FieldLines


class PathServer:
    """Serves proxied requests, whichever connection they came on.

    Args:
        upstreams: the services, by their names in the route table.
        admission: decides whether a request may pass.
        bulkheads: keep connections free for other routes.
        streams: holds the responses that are streams of events.
        traces: begins traces and passes them on.
        metrics: the HTTP metrics.
        lines: writes the log line of each request.
        sweep: ends what is late.
        duties: finds links and guards.
    """

    def __init__(  # noqa: PLR0913 - what all exchanges share
        self,
        *,
        upstreams: Mapping[str, Upstream],
        admission: Admission,
        bulkheads: Bulkheads,
        streams: Streams,
        traces: Traces,
        metrics: HttpMetrics,
        lines: RequestLines,
        sweep: Sweep,
        duties: Duties,
    ) -> None:
        self.admission = admission
        self.streams = streams
        self.traces = traces
        self.metrics = metrics
        self.lines = lines
        self.sweep = sweep
        self.kinds = Kinds()
        self._upstreams = upstreams
        self._bulkheads = bulkheads
        self._duties = duties
        self._served: dict[int, ServedRoute] = {}

    def served(self, route: Route) -> ServedRoute:
        """Return the route with all that it needs."""
        served = self._served.get(id(route))  # hashing a Route costs more than the rest
        if served is None:
            upstream = self._upstreams[route.service]
            self._served[id(route)] = served = ServedRoute(
                route=route,
                upstream=upstream,
                pool=upstream.streams if route.stream else upstream.requests,
                bulkhead=self._bulkheads.of(route),
                links=self._duties.links(route),
                guard=self._duties.guard(route),
                standing=standing_fields(route),
            )
        return served

    def record(
        self, request: AnsweredRequest, seconds: float, measured: float, *, whole: bool
    ) -> None:
        """Record a request that ended.

        Args:
            request: the request.
            seconds: how long it took.
            measured: the duration for the metrics.
            whole: whether its client got all of the response that it wanted.
        """
        route, trace, status = request.route, request.trace, request.status
        label = UNMATCHED if route is None else route.prefix
        recorded = trace.recorded_id if trace.span is not None else None
        self.metrics.ended(
            label, request.method, status=status, seconds=measured, trace_id=recorded
        )
        if trace.span is not None:
            trace.end(status, whole=whole)
        self.lines.write(
            request_id=request.request_id,
            method=request.method,
            route=label,
            path=request.path,
            status=status,
            seconds=seconds,
            user_id=request.user_id,
            trace=trace.ids,
        )

    def stop(self) -> None:
        """Answer what is still in flight: the process is about to stop."""
        for exchange in self.sweep.in_flight:
            exchange.stop()


class CommonLines:
    """The lines of the common fields, by the request's `Origin`.

    Args:
        common_fields: returns the common fields of a response.
    """

    def __init__(self, common_fields: CommonFields) -> None:
        self._common_fields = common_fields
        self._lines: dict[bytes | None, bytes] = {}
        self._server_fields: Fields = []
        self._server_lines = b""

    def of(self, origin: bytes | None, server_fields: Fields) -> bytes:
        """Return the lines.

        Args:
            origin: the request's `Origin`.
            server_fields: what uvicorn adds: the date. It makes a new list each second.
        """
        lines = self._lines.get(origin)
        if lines is None:
            if len(self._lines) >= _REMEMBERED_ORIGINS:
                self._lines.clear()
            request = [] if origin is None else [(b"origin", origin)]
            self._lines[origin] = lines = lines_of(self._common_fields(request))
        if server_fields is not self._server_fields:
            self._server_fields = server_fields
            self._server_lines = lines_of(server_fields)
        return self._server_lines + lines
