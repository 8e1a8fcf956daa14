"""Certificates that expire, and signing keys that are old."""

from monitoring.alert import Alert, Severity

_FILE = 'job="orders",setting="KAFKA_CERTIFICATE_FILE"'
_LABELS = {"job": "orders", "setting": "KAFKA_CERTIFICATE_FILE"}
_EXPIRY = "min by (job, setting) (tls_certificate_expiry_timestamp_seconds)"
_CREATED = 'signing_key_created_timestamp_seconds{job="users"}'
_DAY = 86_400


def _certificate(name: str, days: int, severity: Severity, summary: str, impact: str) -> Alert:
    limit = days * _DAY
    return Alert(
        name=name,
        expr=f"{_EXPIRY} - time() < {limit}",
        hold="5m",
        severity=severity,
        summary=summary,
        impact=impact,
        runbook="certificates.md#a-certificate-expires-tls_certificate_expiry_timestamp_seconds",
        # promtool's time begins at 0: at ten minutes, 600 s of the limit have passed.
        fires={f"tls_certificate_expiry_timestamp_seconds{{{_FILE}}}": f"{limit}x10"},
        quiet={f"tls_certificate_expiry_timestamp_seconds{{{_FILE}}}": f"{limit + 700}x10"},
        labels=_LABELS,
    )


SECRETS = (
    _certificate(
        "CertificateExpiresSoon",
        14,
        Severity.TICKET,
        "The certificate of {{ $labels.setting }} of {{ $labels.job }} expires within 14 days.",
        "None yet. After that the process can't connect.",
    ),
    _certificate(
        "CertificateExpires",
        2,
        Severity.PAGE,
        "The certificate of {{ $labels.setting }} of {{ $labels.job }} expires within two days, "
        "or has expired, or can't be read.",
        "Without Kafka, events wait. Without the mail server, mails wait.",
    ),
    Alert(
        name="SigningKeyOld",
        expr=f"time() - min by (job) (signing_key_created_timestamp_seconds) > {180 * _DAY}",
        hold="5m",
        severity=Severity.TICKET,
        summary="The key that signs access tokens is older than 180 days, or of unknown age.",
        impact="None by itself. Who copied the key can sign tokens until it is rotated.",
        runbook="keys.md#the-signing-key-is-old-signing_key_created_timestamp_seconds",
        fires={_CREATED: f"{-180 * _DAY}x10"},
        quiet={_CREATED: f"{700 - 180 * _DAY}x10"},
        labels={"job": "users"},
    ),
)
