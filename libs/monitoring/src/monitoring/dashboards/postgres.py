"""How do our processes see PostgreSQL?"""

from monitoring.dashboards.panels import quantile, rate
from monitoring.grafana import Dashboard, Panel, Query, Row

POSTGRES = Dashboard(
    uid="slipway-postgres",
    title="Slipway: PostgreSQL",
    about="PostgreSQL as our processes see it. The runbook is docs/runbooks/database.md.",
    rows=[
        Row(
            title="Connections",
            panels=[
                Panel(
                    title="Share of the pool in use",
                    unit="percentunit",
                    queries=[
                        Query(
                            "sum by (job) (database_pool_connections_in_use) / "
                            "sum by (job) (database_pool_connections_limit)",
                            "{{job}}",
                        )
                    ],
                ),
                Panel(
                    title="Transactions that wait for a connection",
                    queries=[Query("sum by (job) (database_pool_waiting)", "{{job}}")],
                ),
                Panel(
                    title="Reachable",
                    about="0: the last attempt to connect failed.",
                    queries=[
                        Query("min by (job, address) (database_reachable)", "{{job}} {{address}}")
                    ],
                ),
                Panel(
                    title="Attempts to connect",
                    unit="ops",
                    queries=[
                        Query(
                            rate("database_connects_total", by="job, outcome"),
                            "{{job}} {{outcome}}",
                        )
                    ],
                ),
            ],
        ),
        Row(
            title="Times",
            panels=[
                Panel(
                    title="Statements",
                    unit="ops",
                    queries=[Query(rate("database_statement_seconds_count", by="job"), "{{job}}")],
                ),
                Panel(
                    title="Statement, p99",
                    unit="s",
                    about="With the time that it waited for locks.",
                    queries=[
                        Query(quantile(0.99, "database_statement_seconds", by="job"), "{{job}}")
                    ],
                ),
                Panel(
                    title="COMMIT, p99",
                    unit="s",
                    about="If only this is slow, the disk of PostgreSQL's log is slow.",
                    queries=[Query(quantile(0.99, "database_commit_seconds", by="job"), "{{job}}")],
                ),
                Panel(
                    title="Commits",
                    unit="ops",
                    queries=[Query(rate("database_commit_seconds_count", by="job"), "{{job}}")],
                ),
            ],
        ),
        Row(
            title="Work in the background",
            panels=[
                Panel(
                    title="Rows that retention deleted",
                    unit="ops",
                    queries=[
                        Query(rate("retention_pruned_rows_total", by="job, table"), "{{table}}")
                    ],
                ),
                Panel(
                    title="Batch of events, p99",
                    unit="s",
                    queries=[
                        Query(quantile(0.99, "consumer_batch_seconds", by="job"), "{{job}}"),
                    ],
                ),
                Panel(
                    title="Job, p99",
                    unit="s",
                    queries=[Query(quantile(0.99, "job_seconds", by="job"), "{{job}}")],
                ),
            ],
        ),
    ],
)
