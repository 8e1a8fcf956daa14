"""Events that are not published."""

from monitoring.alert import Alert, Severity

_WAITS = 'outbox_oldest_row_age_seconds{job="orders-worker"}'
_REFUSED = 'outbox_refused_rows{job="orders-worker"}'
_MEASURED = 'outbox_measured_timestamp_seconds{job="orders-worker"}'

OUTBOX = (
    Alert(
        name="EventsNotPublished",
        expr="max by (job) (outbox_oldest_row_age_seconds) > 30",
        severity=Severity.PAGE,
        summary="{{ $labels.job }} has published no event of its outbox's head for 30 s.",
        impact="Notifications and the reactions of other services are late. No event is lost.",
        runbook="events.md#the-outbox-grows-outbox_oldest_row_age_seconds-outbox_backlog_rows",
        fires={_WAITS: "31+60x10"},
        quiet={_WAITS: "29x10"},
        labels={"job": "orders-worker"},
    ),
    Alert(
        name="EventRefusedByKafka",
        expr="max by (job) (outbox_refused_rows) > 0",
        severity=Severity.TICKET,
        summary="Kafka refuses an event of {{ $labels.job }}; later events of its key wait.",
        impact="One order or account has no further effects in other services.",
        runbook="events.md#kafka-refused-an-event-outbox_refused_rows",
        fires={_REFUSED: "1x10"},
        quiet={_REFUSED: "0x10"},
        labels={"job": "orders-worker"},
    ),
    Alert(
        name="OutboxNotMeasured",
        expr="max by (job) (time() - outbox_measured_timestamp_seconds) > 120",
        severity=Severity.TICKET,
        summary="{{ $labels.job }} can't measure its outbox, so the other alerts of it are blind.",
        impact="None by itself.",
        runbook="events.md#a-gauge-is-absent-_measured_timestamp_seconds",
        fires={_MEASURED: "0x10"},
        quiet={_MEASURED: "0+60x10"},
        labels={"job": "orders-worker"},
    ),
)
