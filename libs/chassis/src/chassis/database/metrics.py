"""Metrics of a process's pool of database connections."""

from prometheus_client import CollectorRegistry, Gauge

from chassis.database.pool import Pool


def register_pool_metrics(pool: Pool, registry: CollectorRegistry) -> None:
    """Register the pool's metrics; their values are read at each scrape."""
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
