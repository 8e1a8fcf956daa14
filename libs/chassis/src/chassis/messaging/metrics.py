"""The metrics of messaging; each label has few and bounded values."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chassis.messaging.measurement import Measurement

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STATES = ("retrying", "dead", "unknown")


class RelayMetrics:
    """The metrics of the relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "outbox_published_total", "Events acknowledged by Kafka.", ["topic"], registry=registry
        )
        self.errors = Counter(
            "outbox_publish_errors_total", "Batches that Kafka refused.", registry=registry
        )
        self.latency = Histogram(
            "outbox_publish_latency_seconds",
            "Time from writing the row, in its transaction, to Kafka's acknowledgement.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._waiting = Measurement(
            name="outbox",
            gauges={
                "outbox_backlog_rows": "Rows of the service not yet published; counted up to "
                "100,001. Each relay shows the total of the service: take the maximum.",
                "outbox_oldest_row_age_seconds": "Age of the oldest such row.",
                "outbox_refused_rows": "Events of the service that Kafka refuses (alert): each "
                "blocks its key.",
            },
            registry=registry,
        )

    def show(self, *, rows: int, age: float, refused: int, seconds: float) -> None:
        """Set the gauges of the outbox; they are exposed for `seconds`."""
        self._waiting.show(
            values={
                "outbox_backlog_rows": rows,
                "outbox_oldest_row_age_seconds": age,
                "outbox_refused_rows": refused,
            },
            seconds=seconds,
        )


class ConsumerMetrics:
    """The metrics of the consumer."""

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
            "Partitions that do not go on: infrastructure (they wait for a server); failures (most "
            "messages fail), undecodable (a batch can't be decoded), refused (Kafka refuses this "
            "service the topic): each of these alerts.",
            ["reason"],
            registry=registry,
        )
        self.lag = Measurement(
            name="consumer_lag",
            gauges={
                "consumer_lag_messages": "Messages of the topic that the service's group has not "
                "committed yet, in all partitions; those that were handled in the last quarter "
                "of a second count as well. Each worker shows the total: take the maximum.",
                "consumer_lag_seconds": "How long the oldest of them has waited, as far as this "
                "process has seen. Take the maximum of all workers.",
            },
            labels=["topic"],
            registry=registry,
        )
        self.rebuilt = Counter(
            "consumer_rebuilds_total",
            "Consumers rebuilt by the watchdog because they made no progress.",
            registry=registry,
        )
        self.out_of_range = Counter(
            "consumer_offsets_out_of_range_total",
            "Partitions whose committed offset Kafka no longer has (alert): messages were lost.",
            ["topic"],
            registry=registry,
        )


class ParkingMetrics:
    """The metrics of parked messages."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.retried = Counter(
            "parked_retries_total",
            "Attempts at parked messages by outcome: done, failed.",
            ["topic", "outcome"],
            registry=registry,
        )
        self._parked = Measurement(
            name="parked",
            gauges={
                "parked_messages": "Messages that wait, by the state of their queue: retrying, "
                "dead (alert), unknown (alert).",
                "parked_keys": "Queues of parked messages, by state.",
            },
            labels=["state"],
            registry=registry,
        )
        for state in _STATES:
            self._parked.expect(state)

    def show(self, counted: Mapping[str, tuple[int, int]]) -> None:
        """Set the gauges: (messages, queues) by state; a state that is missing counts as 0."""
        for state in _STATES:
            messages, queues = counted.get(state, (0, 0))
            self._parked.show(state, values={"parked_messages": messages, "parked_keys": queues})
