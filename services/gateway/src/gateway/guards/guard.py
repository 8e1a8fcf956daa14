"""The guard of one service: it sheds requests before they pile up, and learns from each result."""

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from chassis.errors import Unavailable
from gateway.guards.breaker import Breaker, State
from gateway.guards.concurrency import ConcurrencyLimit
from gateway.guards.retries import RetryBudget

log = structlog.get_logger(__name__)

SLOW_SECONDS: Final = 1.0
"""What takes longer inside counts as a sign of overload."""
FLOOR: Final = 10


class Result(Enum):
    """How a request to a service ended."""

    RESPONSE = "response"
    """Any status of the service's own but 502 and 504, also 4xx, 500 and 503: it is there."""
    FAILED = "failed"
    """No connection, no valid response, or 502 or 504."""
    TIMED_OUT = "timed out"
    """No response within the route's time-out."""
    UNKNOWN = "unknown"
    """The client disconnected, or its request was at fault."""


_FAILED_STATUS = frozenset({502, 504})


def result_of(status: int) -> Result:
    """Return the result for a response with this status."""
    return Result.FAILED if status in _FAILED_STATUS else Result.RESPONSE


class GuardMetrics:
    """The metrics of all guards.

    Args:
        registry: the process's registry.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.breaker = Gauge(
            "gateway_upstream_breaker_state",
            "The service's circuit breaker: 0 closed, 1 half-open, 2 open.",
            ("service",),
            registry=registry,
        )
        self.limit = Gauge(
            "gateway_upstream_concurrency_limit",
            "How many requests to the service may be in flight.",
            ("service",),
            registry=registry,
        )
        self.in_flight = Gauge(
            "gateway_upstream_in_flight",
            "Requests to the service that are in flight.",
            ("service",),
            registry=registry,
        )
        self.shed = Counter(
            "gateway_upstream_shed",
            "Requests that were rejected with 503 in place of being sent to the service.",
            ("service", "reason"),
            registry=registry,
        )
        self.retries = Counter(
            "gateway_upstream_retries",
            "Requests that were sent to the service again after a failed connection.",
            ("service",),
            registry=registry,
        )


class Guard:
    """Decides whether requests may go to one service.

    Each `begin` that returns has exactly one `end`.

    Args:
        service: the service's name.
        ceiling: the most requests in flight.
        metrics: shows the guard's state.
        breaker: the breaker; None makes one.
        budget: the retry budget; None makes one.
    """

    def __init__(
        self,
        service: str,
        *,
        ceiling: int,
        metrics: GuardMetrics,
        breaker: Breaker | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self._service = service
        self._breaker = breaker or Breaker()
        self._breaker.moved = self._breaker_moved
        self._limit = ConcurrencyLimit(floor=FLOOR, ceiling=ceiling)
        self._budget = budget or RetryBudget()
        # The gauges are read when they are scraped: no request pays for them.
        metrics.breaker.labels(service).set_function(lambda: self._breaker.state)
        metrics.limit.labels(service).set_function(lambda: self._limit.limit)
        metrics.in_flight.labels(service).set_function(lambda: self._limit.in_flight)
        self._shed_open = metrics.shed.labels(service, "breaker")
        self._shed_full = metrics.shed.labels(service, "concurrency")
        self._retried = metrics.retries.labels(service)

    def _breaker_moved(self, state: State) -> None:
        log.warning("breaker moved", service=self._service, state=state.name.lower())

    def begin(self, now: float) -> int:
        """Admit a request, and return the permit that `end` wants back.

        Args:
            now: seconds of a clock that never goes back.

        Raises:
            Unavailable: the service fails or is overloaded. Nothing was sent.
        """
        if not self._limit.enter():
            self._shed_full.inc()
            message = (
                f"The service {self._service} has {self._limit.limit} requests in flight, and "
                "takes no more at present. Send the request again in a moment."
            )
            raise Unavailable(message)
        permit = self._breaker.admit(now)
        if permit is None:
            self._limit.leave(now, slow=None)
            self._shed_open.inc()
            wait = max(1, math.ceil(self._breaker.seconds_left(now)))
            message = (
                f"The service {self._service} failed repeatedly, so the request was not sent to "
                f"it. Send the request again in {wait} s."
            )
            raise Unavailable(message, retry_after=wait)
        if not self._budget.full:
            self._budget.deposit()
        return permit

    def end(
        self,
        permit: int,
        now: float,
        result: Result,
        *,
        seconds: float,
        slow_is_normal: bool = False,
    ) -> None:
        """Learn from the result of an admitted request.

        Args:
            permit: what `begin` returned.
            now: as in `begin`.
            result: how it ended.
            seconds: from `begin` to the head of the response or the failure.
            slow_is_normal: whether the time says nothing: password hashes, exports, streams.
        """
        late = seconds > SLOW_SECONDS and not slow_is_normal
        if result is Result.UNKNOWN:
            # A client that gave up after a second tells something all the same.
            self._limit.leave(now, slow=late or None)
            self._breaker.record(now, permit, failed=None)
            return
        responded = result is Result.RESPONSE
        self._limit.leave(now, slow=late or result is Result.TIMED_OUT, responded=responded)
        self._breaker.record(now, permit, failed=not responded)

    def retry_delay(self, method: bytes, *, retries: int) -> float | None:
        """Return the seconds until a request may be sent again, or None: see `RetryBudget`."""
        delay = self._budget.delay(method, retries=retries)
        if delay is not None:
            self._retried.inc()
        return delay


def guards_of(
    services: Iterable[str], *, ceiling: int, registry: CollectorRegistry
) -> Mapping[str, Guard]:
    """Return a guard for each service, by name."""
    metrics = GuardMetrics(registry)
    return {name: Guard(name, ceiling=ceiling, metrics=metrics) for name in services}
