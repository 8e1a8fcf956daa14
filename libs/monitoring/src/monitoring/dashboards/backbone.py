"""Do events flow, from the outbox to their effects?"""

from monitoring.dashboards.panels import quantile, rate
from monitoring.grafana import Dashboard, Panel, Query, Row

BACKBONE = Dashboard(
    uid="slipway-backbone",
    title="Slipway: events",
    about="From the outbox through Kafka to the consumers. The runbook is docs/runbooks/events.md.",
    rows=[
        Row(
            title="Outbox",
            panels=[
                Panel(
                    title="Backlog",
                    about="Rows that are not published. Counted up to 100,001.",
                    queries=[Query("max by (job) (outbox_backlog_rows)", "{{job}}")],
                ),
                Panel(
                    title="Oldest row",
                    unit="s",
                    queries=[Query("max by (job) (outbox_oldest_row_age_seconds)", "{{job}}")],
                ),
                Panel(
                    title="Refused rows",
                    about="Kafka refuses these events. Each blocks its key.",
                    queries=[Query("max by (job) (outbox_refused_rows)", "{{job}}")],
                ),
                Panel(
                    title="Batches that Kafka refused",
                    unit="ops",
                    queries=[Query(rate("outbox_publish_errors_total", by="job"), "{{job}}")],
                ),
            ],
        ),
        Row(
            title="Consumers",
            panels=[
                Panel(
                    title="Lag in messages",
                    queries=[
                        Query("max by (job, topic) (consumer_lag_messages)", "{{job}} {{topic}}")
                    ],
                ),
                Panel(
                    title="Lag in seconds",
                    unit="s",
                    queries=[
                        Query("max by (job, topic) (consumer_lag_seconds)", "{{job}} {{topic}}")
                    ],
                ),
                Panel(
                    title="Batch's transaction, p99",
                    unit="s",
                    queries=[
                        Query(
                            quantile(0.99, "consumer_batch_seconds", by="job, topic"),
                            "{{job}} {{topic}}",
                        )
                    ],
                ),
            ],
        ),
        Row(
            title="What does not go on",
            panels=[
                Panel(
                    title="Partitions that wait",
                    empty=True,
                    queries=[
                        Query(
                            "max by (job, reason) (consumer_waiting_partitions)",
                            "{{job}} {{reason}}",
                        )
                    ],
                ),
                Panel(
                    title="Parked messages",
                    queries=[Query("max by (job, state) (parked_messages)", "{{job}} {{state}}")],
                ),
                Panel(
                    title="Broadcast of ended sessions is stale",
                    queries=[Query("max by (job) (broadcast_stale)", "{{job}}")],
                ),
            ],
        ),
    ],
)
