"""The metrics of messaging; labels are few and bounded."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RelayMetrics:
    """What the relay tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "outbox_published_total", "Events acknowledged by Kafka.", ["topic"], registry=registry
        )
        self.errors = Counter(
            "outbox_publish_errors_total", "Batches that Kafka refused.", registry=registry
        )
        self.latency = Histogram(
            "outbox_publish_latency_seconds",
            "From the row's writing to Kafka's acknowledgement.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.backlog = Gauge("outbox_backlog_rows", "Rows not yet published.", registry=registry)
        self.oldest = Gauge(
            "outbox_oldest_row_age_seconds", "Age of the oldest such row.", registry=registry
        )


class ConsumerMetrics:
    """What the consumer tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.consumed = Counter(
            "consumer_messages_total",
            "Messages by outcome: done, duplicate, ignored, failed, interrupted by a server.",
            ["topic", "outcome"],
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "consumer_batch_seconds",
            "Time of one batch's transaction.",
            ["topic"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.blocked = Gauge(
            "consumer_blocked_partitions",
            "Partitions that wait to retry a message.",
            registry=registry,
        )
