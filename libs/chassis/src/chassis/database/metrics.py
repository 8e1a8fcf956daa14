"""Metrics of a process's pool of database connections, and of its statements."""

from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from chassis.database.pool import Pool
from chassis.telemetry.histograms import LoopHistogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


def register_pool_metrics(pool: Pool, registry: CollectorRegistry) -> None:
    """Register the pool's metrics; the values of its gauges are read at each scrape."""
    Gauge(
        "database_pool_connections_in_use",
        "Connections that transactions hold at present.",
        registry=registry,
    ).set_function(lambda: pool.in_use)
    Gauge(
        "database_pool_waiting",
        "Transactions that wait for a connection at present.",
        registry=registry,
    ).set_function(lambda: pool.waiting)
    Gauge(
        "database_pool_connections_limit",
        "Connections that the pool may open: DATABASE_POOL_SIZE and DATABASE_POOL_OVERFLOW.",
        registry=registry,
    ).set(pool.limit)
    statements = LoopHistogram(
        "database_statement_seconds",
        "Time of one statement of a transaction, with its waiting for locks. Statements of "
        "SQLAlchemy, which lists use, are not measured.",
        [],
        buckets=_SECONDS,
        registry=registry,
    )
    commits = LoopHistogram(
        "database_commit_seconds",
        "Time of one COMMIT, which PostgreSQL flushes to its log, or of one statement that is a "
        "whole transaction.",
        [],
        buckets=_SECONDS,
        registry=registry,
    )
    pool.statement_took = partial(statements.observe, ())
    pool.commit_took = partial(commits.observe, ())
