"""What probes and metrics report about PostgreSQL: the outcome of the last attempt to connect.

Readiness does not depend on it: while PostgreSQL is unavailable, callers get 503 problems from a
ready process. Otherwise the load balancer would have no process left to send them to.
"""

import logging
from enum import StrEnum

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from chassis.health import Health

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """How an attempt to connect ended."""

    OK = "ok"
    AWAY = "away"  # no response in time, or the server is starting, stopping or full
    REFUSED = "refused"  # the server rejects this role: password, pg_hba.conf, database
    READ_ONLY = "read-only"  # no host accepts writes, and the URL requires one that does
    POOLER = "pooler"  # a pooler that the settings do not declare


class Reachability:
    """Keeps the last outcome for each address of one process.

    Args:
        health: shows the outcome in the body of the probes.
        registry: the metrics registry of the process.
    """

    def __init__(self, *, health: Health, registry: CollectorRegistry) -> None:
        self._health = health
        self._last: dict[str, Outcome] = {}
        self._attempts = Counter(
            "database_connects_total",
            "Attempts to connect to PostgreSQL, by address (database, database_direct) and "
            "outcome: ok, away, refused, read-only, pooler.",
            ["address", "outcome"],
            registry=registry,
        )
        self._reachable = Gauge(
            "database_reachable",
            "Whether the last attempt to connect succeeded (alert on 0). Each process tries twice "
            "a minute at least.",
            ["address"],
            registry=registry,
        )

    def note(self, address: str, outcome: Outcome, error: Exception | None = None) -> None:
        """Record an attempt, and log a change of the outcome.

        Args:
            address: ``database`` or ``database_direct``.
            outcome: how it ended.
            error: the error that it raised.
        """
        self._attempts.labels(address, outcome).inc()
        self._reachable.labels(address).set(outcome is Outcome.OK)
        before, self._last[address] = self._last.get(address, Outcome.OK), outcome
        reason = "" if error is None else f": {type(error).__name__}: {error}"
        self._health.note(address, f"{outcome}{reason}")
        if outcome is before:
            return
        if outcome is Outcome.OK:
            log.info("database reachable again", address=address)
        else:
            log.log(
                logging.WARNING if outcome is Outcome.AWAY else logging.ERROR,
                "database not reachable",
                address=address,
                outcome=outcome,
                error=reason[2:],
            )
