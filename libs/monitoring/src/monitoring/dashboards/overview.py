"""Is the system well, and since when is it not?"""

from monitoring.dashboards.panels import cpu, loop_delay, memory, quantile, rate, red
from monitoring.grafana import Dashboard, Panel, Query, Row
from monitoring.objectives import PERIOD_DAYS, record_of

_SPANS = Panel(
    title="Spans",
    unit="ops",
    about="`dropped` and `failed` are lost: the collector is away, or too slow.",
    queries=[Query(rate("telemetry_spans_total", by="job, outcome"), "{{job}} {{outcome}}")],
)

OVERVIEW = Dashboard(
    uid="slipway-overview",
    title="Slipway: overview",
    about="Objectives first. Then the requests at the gateway, the events, and the processes.",
    rows=[
        Row(
            title="Objectives",
            panels=[
                Panel(
                    title="Share of bad events, last hour",
                    unit="percentunit",
                    about=f"The objectives are over {PERIOD_DAYS} days: 0.1 % of responses may be "
                    "5xx, and 1 % slow.",
                    queries=[Query(record_of("1h"), "{{objective}}")],
                ),
                Panel(
                    title="Share of bad events, three days",
                    unit="percentunit",
                    queries=[Query(record_of("3d"), "{{objective}}")],
                ),
                Panel(
                    title="Alerts",
                    empty=True,
                    queries=[
                        Query(
                            'sum by (alertname, severity) (ALERTS{alertstate="firing"})',
                            "{{severity}} {{alertname}}",
                        )
                    ],
                ),
            ],
        ),
        Row(title="Requests at the gateway", panels=red('job="gateway"', "method")),
        Row(
            title="Events",
            panels=[
                Panel(
                    title="Published",
                    unit="ops",
                    queries=[Query(rate("outbox_published_total", by="topic"), "{{topic}}")],
                ),
                Panel(
                    title="Oldest event that is not published",
                    unit="s",
                    queries=[Query("max by (job) (outbox_oldest_row_age_seconds)", "{{job}}")],
                ),
                Panel(
                    title="Consumers' lag",
                    unit="s",
                    queries=[
                        Query(
                            "max by (job, topic) (consumer_lag_seconds)",
                            "{{job}} {{topic}}",
                        )
                    ],
                ),
                Panel(
                    title="Event to push, p99",
                    unit="s",
                    about="Of clients that were connected when the order changed.",
                    queries=[Query(quantile(0.99, "feed_item_age_seconds"), "all")],
                ),
                Panel(
                    title="Row to acknowledgement, p99",
                    unit="s",
                    queries=[
                        Query(
                            quantile(0.99, "outbox_publish_latency_seconds", by="job"),
                            "{{job}}",
                        )
                    ],
                ),
            ],
        ),
        Row(
            title="Business",
            panels=[
                Panel(
                    title="Orders placed",
                    unit="ops",
                    queries=[
                        Query(
                            rate(
                                "http_server_request_duration_seconds_count",
                                'job="orders",method="POST",route="/api/v1/orders",status="201"',
                            ),
                            "orders",
                        )
                    ],
                ),
                Panel(
                    title="Notifications",
                    unit="ops",
                    queries=[
                        Query(
                            rate("notifications_total", by="channel, outcome"),
                            "{{channel}} {{outcome}}",
                        )
                    ],
                ),
                Panel(
                    title="Open sockets and streams",
                    queries=[Query("sum by (transport) (feed_connections)", "{{transport}}")],
                ),
            ],
        ),
        Row(
            title="Live feed",
            panels=[
                Panel(
                    title="Connections that ended",
                    unit="ops",
                    about="`code` is the close code, or `client` if the client closed it.",
                    queries=[
                        Query(
                            rate("feed_closes_total", by="transport, code"),
                            "{{transport}} {{code}}",
                        )
                    ],
                ),
                Panel(
                    title="Ping to pong, p99",
                    unit="s",
                    empty=True,
                    about="Sockets that stay open for longer than the interval of pings.",
                    queries=[Query(quantile(0.99, "feed_ping_seconds"), "all")],
                ),
                Panel(
                    title="Items dropped for slow clients",
                    unit="ops",
                    queries=[Query(rate("feed_dropped_items_total"), "all")],
                ),
                Panel(
                    title="Refused connections",
                    unit="ops",
                    queries=[
                        Query(rate("feed_connections_refused_total", by="bound"), "{{bound}}")
                    ],
                ),
            ],
        ),
        Row(title="Processes", panels=[cpu(""), memory(""), loop_delay(""), _SPANS]),
    ],
)
