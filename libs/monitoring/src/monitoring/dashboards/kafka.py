"""How do our processes see Kafka?"""

from monitoring.dashboards.panels import quantile, rate
from monitoring.grafana import Dashboard, Panel, Query, Row

KAFKA = Dashboard(
    uid="slipway-kafka",
    title="Slipway: Kafka",
    about="Kafka as our processes see it. The runbook is docs/runbooks/kafka.md.",
    rows=[
        Row(
            title="Producers",
            panels=[
                Panel(
                    title="Acknowledged events",
                    unit="ops",
                    queries=[
                        Query(rate("outbox_published_total", by="job, topic"), "{{job}} {{topic}}")
                    ],
                ),
                Panel(
                    title="Row to acknowledgement",
                    unit="s",
                    queries=[
                        Query(
                            quantile(share, "outbox_publish_latency_seconds", by="job"),
                            f"{{{{job}}}} p{share:.0%}".rstrip("%"),
                        )
                        for share in (0.5, 0.99)
                    ],
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
                    title="Messages",
                    unit="ops",
                    queries=[
                        Query(
                            rate("consumer_messages_total", by="job, topic, outcome"),
                            "{{job}} {{topic}} {{outcome}}",
                        )
                    ],
                ),
                Panel(
                    title="Lag in messages",
                    queries=[
                        Query("max by (job, topic) (consumer_lag_messages)", "{{job}} {{topic}}")
                    ],
                ),
                Panel(
                    title="Since the lag was measured",
                    unit="s",
                    about="Over 10 s: the process can't ask Kafka.",
                    queries=[
                        Query(
                            "time() - max by (job) (consumer_lag_measured_timestamp_seconds)",
                            "{{job}}",
                        )
                    ],
                ),
                Panel(
                    title="Consumers that were rebuilt",
                    queries=[
                        Query("sum by (job) (increase(consumer_rebuilds_total[1h]))", "{{job}}")
                    ],
                ),
            ],
        ),
        Row(
            title="Readers of whole topics, and certificates",
            panels=[
                Panel(
                    title="Messages of ended sessions",
                    unit="ops",
                    queries=[Query(rate("broadcast_messages_total", by="job, outcome"), "{{job}}")],
                ),
                Panel(
                    title="Does not know the ended sessions",
                    queries=[Query("max by (job) (broadcast_stale)", "{{job}}")],
                ),
                Panel(
                    title="Until a certificate expires",
                    unit="s",
                    empty=True,
                    about="Only processes that connect with TLS have one.",
                    queries=[
                        Query(
                            "min by (job, setting) (tls_certificate_expiry_timestamp_seconds) - "
                            "time()",
                            "{{job}} {{setting}}",
                        )
                    ],
                ),
                Panel(
                    title="Age of the signing key",
                    unit="s",
                    queries=[
                        Query(
                            "time() - min by (job) (signing_key_created_timestamp_seconds)",
                            "{{job}}",
                        )
                    ],
                ),
            ],
        ),
    ],
)
