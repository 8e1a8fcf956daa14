"""The metrics of messaging; labels are few and bounded."""

from collections.abc import Mapping

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
            "From the row's writing, in the transaction, to Kafka's acknowledgement.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.backlog = Gauge(
            "outbox_backlog_rows",
            "Rows of the service not yet published; counted up to 100,001. Of several relays each "
            "tells the whole: take the maximum.",
            registry=registry,
        )
        self.oldest = Gauge(
            "outbox_oldest_row_age_seconds", "Age of the oldest such row.", registry=registry
        )
        self.refused = Gauge(
            "outbox_refused_rows",
            "Events of the service that Kafka refuses (alert): each holds up its key.",
            registry=registry,
        )


class ConsumerMetrics:
    """What the consumer tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.consumed = Counter(
            "consumer_messages_total",
            "Messages by outcome: done; duplicate (stopped by the inbox), ignored, tombstone; "
            "parked, unknown (kept, alert); interrupted by a server.",
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
        self.waiting = Gauge(
            "consumer_waiting_partitions",
            "Partitions that wait before they go on: for a server, or stopped by too many failures "
            "(alert).",
            ["reason"],
            registry=registry,
        )
        self.lag = Gauge(
            "consumer_lag_messages",
            "Messages of this member's partitions that it has not met yet.",
            ["topic"],
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "consumer_lag_seconds",
            "How long ago the last message that was met was sent, where there are later ones.",
            ["topic"],
            registry=registry,
        )
        self.rebuilt = Counter(
            "consumer_rebuilds_total",
            "Consumers rebuilt by the watchdog, as they made no progress.",
            registry=registry,
        )
        self.out_of_range = Counter(
            "consumer_offsets_out_of_range_total",
            "Partitions whose committed offset Kafka no longer has (alert): messages were lost.",
            ["topic"],
            registry=registry,
        )


class ParkingMetrics:
    """What becomes of parked messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.retried = Counter(
            "parked_retries_total",
            "Attempts at parked messages by outcome: done, failed.",
            ["topic", "outcome"],
            registry=registry,
        )
        self._messages = Gauge(
            "parked_messages",
            "Messages that wait, by the state of their queue: retrying, dead (alert), unknown "
            "(alert).",
            ["state"],
            registry=registry,
        )
        self._queues = Gauge(
            "parked_keys", "Queues of parked messages, by state.", ["state"], registry=registry
        )
        self.show({})

    def show(self, counted: Mapping[str, tuple[int, int]]) -> None:
        """Set the gauges: messages and queues by state; a state that is missing has none."""
        for state in ("retrying", "dead", "unknown"):
            messages, queues = counted.get(state, (0, 0))
            self._messages.labels(state).set(messages)
            self._queues.labels(state).set(queues)
