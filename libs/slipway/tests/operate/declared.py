"""A topic as a test declares it."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Declared:
    """A topic with the settings that `Topics` reads."""

    name: str
    partitions: int
    retention: timedelta = timedelta(hours=1)
    segment: timedelta = timedelta(minutes=10)
    timestamp_type: str = "CreateTime"
    compression: str = "producer"
