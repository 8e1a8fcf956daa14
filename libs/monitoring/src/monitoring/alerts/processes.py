"""Every process, whatever it does."""

from chassis.installed import service_names
from monitoring.alert import Alert, Severity

_OURS = "|".join(["gateway", ".*-worker", *service_names()])
_BUCKET = 'event_loop_delay_seconds_bucket{job="orders",le='

PROCESSES = (
    Alert(
        name="ProcessDown",
        expr=f'up{{job=~"{_OURS}"}} == 0',
        severity=Severity.PAGE,
        summary="Prometheus can't scrape a process of {{ $labels.job }}.",
        impact="If it is the last one of its kind, its requests get 503 or its events wait.",
        runbook="processes.md#a-process-is-down-up",
        fires={'up{job="orders",instance="a"}': "0x10"},
        quiet={'up{job="orders",instance="a"}': "1x10"},
        labels={"job": "orders", "instance": "a"},
    ),
    Alert(
        name="ProcessRestarts",
        expr="changes(process_start_time_seconds[30m]) > 2",
        hold="0m",
        severity=Severity.TICKET,
        summary="A process of {{ $labels.job }} has restarted more than twice in half an hour.",
        impact="Requests in progress fail, and its events are late.",
        runbook="processes.md#a-process-restarts-process_start_time_seconds",
        fires={'process_start_time_seconds{job="orders",instance="a"}': "1+100x10"},
        quiet={'process_start_time_seconds{job="orders",instance="a"}': "1 1 1 200 200 300x5"},
        labels={"job": "orders", "instance": "a"},
    ),
    Alert(
        name="EventLoopBlocked",
        expr=(
            "histogram_quantile(0.99, "
            "sum by (job, le) (rate(event_loop_delay_seconds_bucket[5m]))) > 0.25"
        ),
        hold="5m",
        severity=Severity.TICKET,
        summary="The event loop of {{ $labels.job }} is late by more than 250 ms.",
        impact="All requests of the process are slow.",
        runbook="processes.md#the-event-loop-is-blocked-event_loop_delay_seconds",
        fires={
            f'{_BUCKET}"0.1"}}': "0+10x15",
            f'{_BUCKET}"0.5"}}': "0+60x15",
            f'{_BUCKET}"+Inf"}}': "0+60x15",
        },
        quiet={
            f'{_BUCKET}"0.1"}}': "0+60x15",
            f'{_BUCKET}"0.5"}}': "0+60x15",
            f'{_BUCKET}"+Inf"}}': "0+60x15",
        },
        labels={"job": "orders"},
        at="15m",
    ),
    Alert(
        name="PasswordsRefused",
        expr='sum by (job) (rate(password_queue_refused_total{reason=~"full|late"}[5m])) > 0.1',
        hold="5m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }} rejects log-ins, because its queue of passwords is full.",
        impact="Users can't log in or register. Others are not affected.",
        runbook="processes.md#passwords-are-refused-password_queue_refused_total",
        fires={'password_queue_refused_total{job="users",reason="full"}': "0+30x15"},
        quiet={'password_queue_refused_total{job="users",reason="full"}': "0+5x15"},
        labels={"job": "users"},
        at="15m",
    ),
    Alert(
        name="SpansLost",
        # A share, so that the limit suits any traffic. A process that ends drops a few spans.
        expr=(
            'sum by (job) (rate(telemetry_spans_total{outcome=~"dropped|failed"}[5m])) '
            "/ sum by (job) (rate(telemetry_spans_total[5m])) > 0.05"
        ),
        hold="5m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }} loses more than 5 % of its spans.",
        impact="None for users. Traces have holes, and some errors have no trace.",
        runbook="processes.md#spans-are-lost-telemetry_spans_total",
        fires={
            'telemetry_spans_total{job="orders",outcome="exported"}': "0+540x15",
            'telemetry_spans_total{job="orders",outcome="failed"}': "0+30x15",
            'telemetry_spans_total{job="orders",outcome="dropped"}': "0+30x15",
        },
        quiet={
            'telemetry_spans_total{job="orders",outcome="exported"}': "0+580x15",
            'telemetry_spans_total{job="orders",outcome="failed"}': "0+10x15",
            'telemetry_spans_total{job="orders",outcome="dropped"}': "0+10x15",
        },
        labels={"job": "orders"},
        at="15m",
    ),
)
