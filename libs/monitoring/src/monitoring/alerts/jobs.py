"""Background work that is not done."""

from monitoring.alert import Alert, Severity

_QUEUE = 'job="users-worker",queue="default"'
_LABELS = {"job": "users-worker", "queue": "default"}

JOBS = (
    Alert(
        name="JobDead",
        expr="max by (job, queue) (jobs_dead) > 0",
        severity=Severity.TICKET,
        summary="A job of {{ $labels.job }} in the queue {{ $labels.queue }} is no longer retried.",
        impact="What the job was to do is not done: a mail, a webhook, an erasure.",
        runbook="jobs.md#a-job-is-dead-jobs_dead",
        fires={f"jobs_dead{{{_QUEUE}}}": "1x10"},
        quiet={f"jobs_dead{{{_QUEUE}}}": "0x10"},
        labels=_LABELS,
    ),
    Alert(
        name="JobsLate",
        expr="max by (job, queue) (jobs_oldest_due_seconds) > 300",
        hold="5m",
        severity=Severity.TICKET,
        summary="The queue {{ $labels.queue }} of {{ $labels.job }} is five minutes late.",
        impact="Mails, webhooks and periodic work are late.",
        runbook="jobs.md#jobs-are-late-jobs_oldest_due_seconds",
        fires={f"jobs_oldest_due_seconds{{{_QUEUE}}}": "301x10"},
        quiet={f"jobs_oldest_due_seconds{{{_QUEUE}}}": "299x10"},
        labels=_LABELS,
    ),
    Alert(
        name="JobLeasesExpire",
        expr="sum by (job) (increase(job_leases_expired_total[30m])) > 5",
        hold="0m",
        severity=Severity.TICKET,
        summary="Leases of jobs of {{ $labels.job }} expire: workers die or freeze.",
        impact="Jobs are late by the time of a lease.",
        runbook="jobs.md#leases-expire-job_leases_expired_total",
        fires={'job_leases_expired_total{job="users-worker",state="waiting"}': "0+1x10"},
        quiet={'job_leases_expired_total{job="users-worker",state="waiting"}': "0 0 2x8"},
        labels={"job": "users-worker"},
    ),
    Alert(
        name="JobsNotMeasured",
        expr="max by (job) (time() - jobs_measured_timestamp_seconds) > 120",
        severity=Severity.TICKET,
        summary="{{ $labels.job }} can't measure its queues, so the other alerts of it are blind.",
        impact="None by itself.",
        runbook="jobs.md#queues-are-not-measured-jobs_measured_timestamp_seconds",
        fires={f"jobs_measured_timestamp_seconds{{{_QUEUE}}}": "0x10"},
        quiet={f"jobs_measured_timestamp_seconds{{{_QUEUE}}}": "0+60x10"},
        labels={"job": "users-worker"},
    ),
)
