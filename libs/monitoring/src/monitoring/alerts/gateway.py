"""The gateway's own limits and its ways to the services."""

from monitoring.alert import Alert, Severity

GATEWAY = (
    Alert(
        name="RateLimitsLocal",
        expr="max(gateway_rate_limits_local) > 0",
        hold="5m",
        severity=Severity.TICKET,
        summary="Each gateway process counts the rate limits for itself.",
        impact="Callers get their limit once per process. Log-ins stay limited in PostgreSQL.",
        runbook="gateway.md#rate-limits-are-counted-locally-gateway_rate_limits_local",
        fires={'gateway_rate_limits_local{job="gateway"}': "1x10"},
        quiet={'gateway_rate_limits_local{job="gateway"}': "1x3 0x7"},
    ),
    Alert(
        name="UpstreamUnreachable",
        expr=(
            'sum by (service) (rate(gateway_upstream_failures_total{kind="unreachable"}[5m])) > 0.1'
        ),
        severity=Severity.PAGE,
        summary="The gateway can't connect to {{ $labels.service }}.",
        impact="Requests to this service get 503.",
        runbook="gateway.md#a-service-is-unreachable-gateway_upstream_failures_total",
        fires={
            'gateway_upstream_failures_total{job="gateway",service="orders",kind="unreachable"}': (
                "0+10x10"
            )
        },
        quiet={
            'gateway_upstream_failures_total{job="gateway",service="orders",kind="unreachable"}': (
                "0+5x10"
            )
        },
        labels={"service": "orders"},
    ),
    Alert(
        name="BreakerOpen",
        # Half-open counts as well: an open breaker probes every few seconds, so it is never open
        # for a minute without a break.
        expr="max by (service) (gateway_upstream_breaker_state) > 0",
        severity=Severity.PAGE,
        summary="The gateway's circuit breaker of {{ $labels.service }} does not close.",
        impact="Requests to this service get 503 at once.",
        runbook="gateway.md#a-breaker-is-open-gateway_upstream_breaker_state",
        fires={
            'gateway_upstream_breaker_state{job="gateway",service="orders"}': "2 1 2 1 2 1 2 1 2x9"
        },
        quiet={
            'gateway_upstream_breaker_state{job="gateway",service="orders"}': "2 0 2 0 2 0 2 0 2 0"
        },
        labels={"service": "orders"},
    ),
    Alert(
        name="RequestsShed",
        expr="sum by (service) (rate(gateway_upstream_shed_total[5m])) > 1",
        hold="5m",
        severity=Severity.TICKET,
        summary="The gateway sheds requests to {{ $labels.service }}.",
        impact="A part of the requests to this service gets 503 with Retry-After.",
        runbook="gateway.md#requests-are-shed-gateway_upstream_shed_total",
        fires={
            'gateway_upstream_shed_total{job="gateway",service="orders",reason="limit"}': "0+90x15"
        },
        quiet={
            'gateway_upstream_shed_total{job="gateway",service="orders",reason="limit"}': "0+50x15"
        },
        labels={"service": "orders"},
        at="15m",
    ),
    Alert(
        name="BulkheadFull",
        expr="sum by (bulkhead) (rate(gateway_bulkhead_refusals_total[5m])) > 0.5",
        hold="5m",
        severity=Severity.TICKET,
        summary="The gateway rejects requests of the kind {{ $labels.bulkhead }}.",
        impact="Callers of these requests get 503 or 429. Others are not affected.",
        runbook="gateway.md#a-bulkhead-is-full-gateway_bulkhead_refusals_total",
        fires={'gateway_bulkhead_refusals_total{job="gateway",bulkhead="passwords"}': "0+60x15"},
        quiet={'gateway_bulkhead_refusals_total{job="gateway",bulkhead="passwords"}': "0+20x15"},
        labels={"bulkhead": "passwords"},
        at="15m",
    ),
    Alert(
        name="ApiKeysNotExchanged",
        expr='sum(rate(gateway_api_key_exchanges_total{outcome="failed"}[5m])) > 0.05',
        hold="5m",
        severity=Severity.TICKET,
        summary="The gateway can't exchange API keys for access tokens.",
        impact="Callers with API keys get 503.",
        runbook="gateway.md#api-keys-are-not-exchanged-gateway_api_key_exchanges_total",
        fires={'gateway_api_key_exchanges_total{job="gateway",outcome="failed"}': "0+6x15"},
        quiet={'gateway_api_key_exchanges_total{job="gateway",outcome="refused"}': "0+60x15"},
        at="15m",
    ),
)
