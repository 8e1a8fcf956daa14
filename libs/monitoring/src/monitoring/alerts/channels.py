"""Mails and webhooks that do not arrive."""

from monitoring.alert import Alert, Severity

_MAILS = 'mails_total{job="notifications-worker",kind="order",outcome='
_HOOKS = 'webhook_attempts_total{job="notifications-worker",outcome='

CHANNELS = (
    Alert(
        name="MailsDeferred",
        expr=(
            'sum(rate(mails_total{outcome="deferred"}[15m])) > '
            '4 * sum(rate(mails_total{outcome="sent"}[15m]))'
        ),
        hold="5m",
        severity=Severity.TICKET,
        summary="The mail server defers most mails.",
        impact="Mails are late: verifications of addresses and resets of passwords too.",
        runbook="channels.md#mails-are-deferred-mails_total",
        fires={f'{_MAILS}"deferred"}}': "0+50x30", f'{_MAILS}"sent"}}': "0+10x30"},
        quiet={f'{_MAILS}"deferred"}}': "0+50x30", f'{_MAILS}"sent"}}': "0+20x30"},
        at="30m",
    ),
    Alert(
        name="WebhooksFail",
        expr=(
            'sum(rate(webhook_attempts_total{outcome!="delivered"}[30m])) > '
            '9 * sum(rate(webhook_attempts_total{outcome="delivered"}[30m]))'
        ),
        hold="15m",
        severity=Severity.TICKET,
        summary="Nine of ten requests to webhooks fail.",
        impact="Receivers get their events late. A receiver that fails for a day is disabled.",
        runbook="channels.md#webhooks-fail-webhook_attempts_total",
        fires={f'{_HOOKS}"waiting"}}': "0+95x60", f'{_HOOKS}"delivered"}}': "0+5x60"},
        quiet={f'{_HOOKS}"waiting"}}': "0+85x60", f'{_HOOKS}"delivered"}}': "0+15x60"},
        at="1h",
    ),
)
