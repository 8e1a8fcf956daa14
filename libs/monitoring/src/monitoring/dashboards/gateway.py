"""What does the gateway do with its callers, and with its services?"""

from monitoring.dashboards.panels import cpu, loop_delay, memory, rate, red
from monitoring.grafana import Dashboard, Panel, Query, Row

_JOB = 'job="gateway"'

GATEWAY = Dashboard(
    uid="slipway-gateway",
    title="Slipway: gateway",
    about="Requests by route, the limits that callers meet, and the failures of services.",
    rows=[
        Row(title="Requests by route", panels=red(_JOB, "route")),
        Row(
            title="Limits",
            panels=[
                Panel(
                    title="429 responses",
                    unit="reqps",
                    empty=True,
                    queries=[
                        Query(
                            rate(
                                "http_server_request_duration_seconds_count",
                                f'{_JOB},status="429"',
                                "route",
                            ),
                            "{{route}}",
                        )
                    ],
                ),
                Panel(
                    title="Refused by a rate limit",
                    about="By limit class.",
                    unit="reqps",
                    queries=[
                        Query(rate("gateway_rate_limit_refusals_total", by="limit"), "{{limit}}")
                    ],
                ),
                Panel(
                    title="Refused by a bulkhead",
                    unit="reqps",
                    queries=[
                        Query(
                            rate("gateway_bulkhead_refusals_total", by="bulkhead"), "{{bulkhead}}"
                        )
                    ],
                ),
                Panel(
                    title="Counts its limits alone",
                    about="1: the store of the rate limits is unavailable.",
                    queries=[
                        Query("max by (instance) (gateway_rate_limits_local)", "{{instance}}")
                    ],
                ),
            ],
        ),
        Row(
            title="Services",
            panels=[
                Panel(
                    title="Failures",
                    unit="reqps",
                    empty=True,
                    queries=[
                        Query(
                            rate("gateway_upstream_failures_total", by="service, kind"),
                            "{{service}} {{kind}}",
                        )
                    ],
                ),
                Panel(
                    title="Requests in progress",
                    queries=[
                        Query(f"sum by (job) (http_server_active_requests{{{_JOB}}})", "{{job}}")
                    ],
                ),
                Panel(
                    title="WebSockets and streams",
                    queries=[
                        Query("sum(gateway_websockets)", "WebSockets"),
                        Query("sum(gateway_streams)", "streams"),
                    ],
                ),
                Panel(
                    title="Exchanges of API keys",
                    unit="ops",
                    queries=[
                        Query(rate("gateway_api_key_exchanges_total", by="outcome"), "{{outcome}}")
                    ],
                ),
            ],
        ),
        Row(
            title="Guards and the cache",
            panels=[
                Panel(
                    title="Circuit breaker",
                    about="0 closed, 1 half-open, 2 open.",
                    queries=[
                        Query("max by (service) (gateway_upstream_breaker_state)", "{{service}}")
                    ],
                ),
                Panel(
                    title="In flight",
                    queries=[
                        Query("sum by (service) (gateway_upstream_in_flight)", "{{service}}"),
                        Query(
                            "sum by (service) (gateway_upstream_concurrency_limit)",
                            "{{service}} limit",
                        ),
                    ],
                ),
                Panel(
                    title="Shed, and sent again",
                    unit="reqps",
                    empty=True,
                    queries=[
                        Query(rate("gateway_upstream_shed_total", by="service, reason"), "shed"),
                        Query(rate("gateway_upstream_retries_total", by="service"), "retries"),
                    ],
                ),
                Panel(
                    title="Cacheable reads",
                    unit="reqps",
                    queries=[Query(rate("gateway_cache_requests_total", by="use"), "{{use}}")],
                ),
            ],
        ),
        Row(title="Process", panels=[cpu(_JOB), memory(_JOB), loop_delay(_JOB)]),
    ],
)
