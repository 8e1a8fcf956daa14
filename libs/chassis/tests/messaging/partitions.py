"""Which keys Kafka's partitioner sends to which partition, for tests that need them apart."""

from aiokafka.partitioner import DefaultPartitioner

PARTITIONS = [0, 1, 2]


def keys_of(partition: int, count: int) -> list[str]:
    """Return keys that go to `partition`."""
    place = DefaultPartitioner()
    keys = (f"key-{number}" for number in range(1000))
    fitting = (key for key in keys if place(key.encode(), PARTITIONS, PARTITIONS) == partition)
    return [next(fitting) for _ in range(count)]
