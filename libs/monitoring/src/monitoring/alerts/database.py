"""PostgreSQL as the processes see it."""

from monitoring.alert import Alert, Severity

_ADDRESS = 'job="orders",address="database"'

DATABASE = (
    Alert(
        name="DatabaseUnreachable",
        expr="min by (job, address) (database_reachable) == 0",
        severity=Severity.PAGE,
        summary="{{ $labels.job }} can't open a connection to {{ $labels.address }}.",
        impact="Requests to this service get 503 once its open connections end.",
        runbook="database.md#runbook-postgresql-is-unavailable-or-rejects-connections",
        fires={f"database_reachable{{{_ADDRESS}}}": "0x10"},
        quiet={f"database_reachable{{{_ADDRESS}}}": "1x10"},
        labels={"job": "orders", "address": "database"},
    ),
    Alert(
        name="DatabasePoolExhausted",
        expr="min_over_time(max by (job) (database_pool_waiting)[3m:]) > 0",
        severity=Severity.TICKET,
        summary="Transactions of {{ $labels.job }} have waited for a connection for minutes.",
        impact="Requests are slow, and get 503 if they wait too long.",
        runbook="database.md#the-pool-is-exhausted-database_pool_waiting",
        fires={'database_pool_waiting{job="orders"}': "4x10"},
        quiet={'database_pool_waiting{job="orders"}': "4 4 0 4 4 0 4 4 0 4"},
        labels={"job": "orders"},
    ),
)
