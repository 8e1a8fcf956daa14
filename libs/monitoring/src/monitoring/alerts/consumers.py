"""Events that take no effect."""

from monitoring.alert import Alert, Severity

_WORKER = 'job="notifications-worker"'
_TOPIC = f'{_WORKER},topic="slipway.orders"'
_LABELS = {"job": "notifications-worker"}
_TOPIC_LABELS = {**_LABELS, "topic": "slipway.orders"}
_BROADCAST = 'broadcast_messages_total{job="gateway",topic="slipway.sessions"'
_LATE = "An order's or account's events take effect late, or not at all until somebody acts."


def _waiting(reason: str) -> str:
    return f'consumer_waiting_partitions{{{_WORKER},reason="{reason}"}}'


def _partition_stopped(name: str, reason: str, summary: str, runbook: str) -> Alert:
    return Alert(
        name=name,
        expr=f'max by (job) (consumer_waiting_partitions{{reason="{reason}"}}) > 0',
        severity=Severity.PAGE,
        summary=summary,
        impact="Notifications and reactions to a part of all orders and accounts stop.",
        runbook=runbook,
        fires={_waiting(reason): "1x10"},
        quiet={_waiting(reason): "0x10"},
        labels=_LABELS,
    )


def _parked(name: str, state: str, summary: str, runbook: str) -> Alert:
    series = f'parked_messages{{{_WORKER},state="{state}"}}'
    return Alert(
        name=name,
        expr=f'max by (job) (parked_messages{{state="{state}"}}) > 0',
        severity=Severity.TICKET,
        summary=summary,
        impact=_LATE,
        runbook=runbook,
        fires={series: "1x10"},
        quiet={series: "0x10"},
        labels=_LABELS,
    )


CONSUMERS = (
    Alert(
        name="ConsumerWithoutProgress",
        expr=(
            "(max by (job, topic) (consumer_lag_seconds) > 60) unless "
            "(sum by (job, topic) (rate(consumer_messages_total[2m])) > 0)"
        ),
        severity=Severity.PAGE,
        summary="{{ $labels.job }} consumes nothing of {{ $labels.topic }}, and messages wait.",
        impact=_LATE,
        runbook="events.md#the-consumer-lags-or-was-rebuilt-consumer_lag_seconds-consumer_rebuilds_total",
        fires={
            f"consumer_lag_seconds{{{_TOPIC}}}": "61+60x10",
            f'consumer_messages_total{{{_TOPIC},outcome="done"}}': "100x10",
        },
        quiet={
            f"consumer_lag_seconds{{{_TOPIC}}}": "61+60x10",
            f'consumer_messages_total{{{_TOPIC},outcome="done"}}': "100+50x10",
        },
        labels=_TOPIC_LABELS,
    ),
    Alert(
        name="ConsumerLags",
        expr="max by (job, topic) (consumer_lag_seconds) > 300",
        hold="5m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }} is five minutes behind on {{ $labels.topic }}.",
        impact="Notifications and reactions to events are minutes late.",
        runbook="events.md#the-consumer-lags-or-was-rebuilt-consumer_lag_seconds-consumer_rebuilds_total",
        fires={f"consumer_lag_seconds{{{_TOPIC}}}": "301x10"},
        quiet={f"consumer_lag_seconds{{{_TOPIC}}}": "299x10"},
        labels=_TOPIC_LABELS,
    ),
    _partition_stopped(
        "PartitionFailing",
        "failures",
        "More than half of a partition's recent messages failed in {{ $labels.job }}; it stopped.",
        "events.md#a-partition-stopped-consumer_waiting_partitionsreasonfailures",
    ),
    _partition_stopped(
        "PartitionUndecodable",
        "undecodable",
        "{{ $labels.job }} can't decode a batch, and the partition stopped there.",
        "events.md#a-batch-cant-be-decoded-consumer_waiting_partitionsreasonundecodable",
    ),
    _partition_stopped(
        "TopicRefused",
        "refused",
        "Kafka refuses {{ $labels.job }} a topic.",
        "events.md#kafka-refuses-a-topic-consumer_waiting_partitionsreasonrefused",
    ),
    Alert(
        name="PartitionWaits",
        expr='max by (job) (consumer_waiting_partitions{reason="infrastructure"}) > 0',
        hold="5m",
        severity=Severity.TICKET,
        summary="Partitions of {{ $labels.job }} have waited for a server for five minutes.",
        impact="Notifications and reactions to events are late. No message is lost.",
        runbook="events.md#a-partition-waits-consumer_waiting_partitionsreasoninfrastructure",
        fires={_waiting("infrastructure"): "1x10"},
        quiet={_waiting("infrastructure"): "1x3 0x7"},
        labels=_LABELS,
    ),
    _parked(
        "MessageDead",
        "dead",
        "A message is dead in {{ $labels.job }}; the later ones of its key wait.",
        "events.md#a-message-is-dead-parked_messagesstatedead",
    ),
    _parked(
        "MessageUnknown",
        "unknown",
        "{{ $labels.job }} keeps messages of a type that it does not know.",
        "events.md#a-message-is-unknown-parked_messagesstateunknown",
    ),
    Alert(
        name="MessagesLost",
        expr="sum by (job, topic) (increase(consumer_offsets_out_of_range_total[15m])) > 0",
        hold="0m",
        severity=Severity.PAGE,
        summary="Kafka deleted messages of {{ $labels.topic }} before {{ $labels.job }} read them.",
        impact="Effects of events are missing until the producer's state is replayed.",
        runbook="events.md#offsets-out-of-range-consumer_offsets_out_of_range_total",
        fires={f"consumer_offsets_out_of_range_total{{{_TOPIC}}}": "0x4 1x6"},
        quiet={f"consumer_offsets_out_of_range_total{{{_TOPIC}}}": "1x10"},
        labels=_TOPIC_LABELS,
    ),
    Alert(
        name="ConsumerRebuilt",
        expr="sum by (job) (increase(consumer_rebuilds_total[30m])) > 1",
        hold="0m",
        severity=Severity.TICKET,
        summary="The watchdog rebuilt the consumer of {{ $labels.job }} more than once.",
        impact="Events were late by half a minute each time.",
        runbook="events.md#the-consumer-lags-or-was-rebuilt-consumer_lag_seconds-consumer_rebuilds_total",
        fires={f"consumer_rebuilds_total{{{_WORKER}}}": "0+1x10"},
        quiet={f"consumer_rebuilds_total{{{_WORKER}}}": "3x10"},
        labels=_LABELS,
    ),
    Alert(
        name="EndedSessionsStale",
        expr="max by (job) (broadcast_stale) > 0",
        severity=Severity.PAGE,
        summary="{{ $labels.job }} does not know which sessions ended.",
        impact="Tokens of ended sessions are accepted until they expire, for up to ten minutes.",
        runbook="events.md#the-broadcast-of-ended-sessions-is-stale-broadcast_stale",
        fires={'broadcast_stale{job="gateway",topic="slipway.sessions"}': "1x10"},
        quiet={'broadcast_stale{job="gateway",topic="slipway.sessions"}': "0x10"},
        labels={"job": "gateway"},
    ),
    Alert(
        name="EndedSessionsUnreadable",
        expr=(
            "sum by (job, topic) "
            '(increase(broadcast_messages_total{outcome=~"unreadable|undecodable"}[15m])) > 0'
        ),
        hold="0m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }} can't read messages of {{ $labels.topic }}, and skipped them.",
        impact="Tokens of the sessions in them are accepted until they expire.",
        runbook="events.md#the-broadcast-of-ended-sessions-is-stale-broadcast_stale",
        fires={f'{_BROADCAST},outcome="undecodable"}}': "0x4 1x6"},
        quiet={f'{_BROADCAST},outcome="taken"}}': "0+10x10"},
        labels={"job": "gateway", "topic": "slipway.sessions"},
    ),
    Alert(
        name="ConsumerNotMeasured",
        expr=(
            "max by (job) (time() - consumer_lag_measured_timestamp_seconds) > 120 or "
            "max by (job) (time() - parked_measured_timestamp_seconds) > 120"
        ),
        severity=Severity.TICKET,
        summary="{{ $labels.job }} can't measure its lag or its parked messages.",
        impact="None by itself, but the other alerts of this consumer are blind.",
        runbook="events.md#a-gauge-is-absent-_measured_timestamp_seconds",
        fires={f"consumer_lag_measured_timestamp_seconds{{{_TOPIC}}}": "0x10"},
        quiet={f"consumer_lag_measured_timestamp_seconds{{{_TOPIC}}}": "0+60x10"},
        labels=_LABELS,
    ),
)
