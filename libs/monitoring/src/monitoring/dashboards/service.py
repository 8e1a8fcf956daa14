"""What does one service do?"""

from chassis.installed import service_names
from monitoring.dashboards.panels import cpu, loop_delay, memory, quantile, rate, red
from monitoring.grafana import Dashboard, Panel, Query, Row

_JOB = 'job=~"$job(-worker)?"'
_API = 'job="$job"'
_WORKER = 'job="$job-worker"'

SERVICE = Dashboard(
    uid="slipway-service",
    title="Slipway: service",
    about="One service: its API, its database pool, its events and its jobs.",
    job="|".join(service_names()),
    rows=[
        Row(title="Requests by route", panels=red(_API, "route")),
        Row(
            title="PostgreSQL, as the service sees it",
            panels=[
                Panel(
                    title="Connections in use",
                    queries=[
                        Query(
                            f"sum by (job) (database_pool_connections_in_use{{{_JOB}}})", "{{job}}"
                        ),
                        Query(
                            f"sum by (job) (database_pool_connections_limit{{{_JOB}}})",
                            "{{job}} limit",
                        ),
                    ],
                ),
                Panel(
                    title="Transactions that wait for a connection",
                    queries=[
                        Query(f"sum by (job) (database_pool_waiting{{{_JOB}}})", "{{job}}"),
                    ],
                ),
                Panel(
                    title="Reachable",
                    queries=[
                        Query(
                            f"min by (job, address) (database_reachable{{{_JOB}}})",
                            "{{job}} {{address}}",
                        )
                    ],
                ),
            ],
        ),
        Row(
            title="Events",
            panels=[
                Panel(
                    title="Messages by outcome",
                    unit="ops",
                    queries=[
                        Query(
                            rate("consumer_messages_total", _WORKER, "topic, outcome"),
                            "{{topic}} {{outcome}}",
                        )
                    ],
                ),
                Panel(
                    title="Published",
                    unit="ops",
                    queries=[Query(rate("outbox_published_total", _WORKER, "topic"), "{{topic}}")],
                ),
                Panel(
                    title="Parked messages",
                    queries=[
                        Query(f"max by (state) (parked_messages{{{_WORKER}}})", "{{state}}"),
                    ],
                ),
            ],
        ),
        Row(
            title="Jobs",
            panels=[
                Panel(
                    title="Attempts",
                    unit="ops",
                    queries=[
                        Query(
                            rate("job_attempts_total", _WORKER, "kind, outcome"),
                            "{{kind}} {{outcome}}",
                        )
                    ],
                ),
                Panel(
                    title="Waiting, running and dead",
                    queries=[
                        Query(f"max by (queue) (jobs_waiting{{{_WORKER}}})", "{{queue}} waiting"),
                        Query(f"max by (queue) (jobs_running{{{_WORKER}}})", "{{queue}} running"),
                        Query(f"max by (queue) (jobs_dead{{{_WORKER}}})", "{{queue}} dead"),
                    ],
                ),
                Panel(
                    title="Start delay, p99",
                    unit="s",
                    queries=[
                        Query(
                            quantile(0.99, "job_start_delay_seconds", _WORKER, "queue"),
                            "{{queue}}",
                        )
                    ],
                ),
            ],
        ),
        Row(title="Processes", panels=[cpu(_JOB), memory(_JOB), loop_delay(_JOB)]),
    ],
)
