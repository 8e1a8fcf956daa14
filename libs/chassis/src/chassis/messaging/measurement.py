"""Gauges that are exposed only while their measurement is fresh.

If measuring fails, a gauge that keeps its last value, or shows 0, hides that failure. These gauges
then have no sample, and a timestamp says when they were last measured.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_FRESH_SECONDS = 60.0

type Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Values, the wall-clock time of their measurement, and the monotonic time they expire at."""

    values: Mapping[str, float]
    at: float
    until: float


class Measurement(Collector):
    """A set of gauges that are measured together.

    Each combination of label values is measured separately. It has a sample of each gauge while it
    is fresh. It always has a sample of ``<name>_measured_timestamp_seconds``, which is 0 before the
    first measurement. Alert on ``time()`` minus that timestamp.

    Args:
        name: the name of the measurement, and the prefix of the timestamp's name.
        gauges: the documentation of each gauge, by its name.
        registry: where this collector registers itself.
        labels: the names of the labels.
        clock: returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        name: str,
        gauges: Mapping[str, str],
        registry: CollectorRegistry,
        labels: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timestamp = f"{name}_measured_timestamp_seconds"
        self._gauges = gauges
        self._labels = labels
        self._clock = clock
        self._measured: dict[Labels, _Measured] = {}
        if not labels:
            self.expect()
        registry.register(self)

    def expect(self, *labels: str) -> None:
        """Expose the timestamp of these label values from now on, as 0 until they are measured."""
        self._measured.setdefault(labels, _Measured({}, 0, 0))

    def show(
        self, *labels: str, values: Mapping[str, float], seconds: float = _FRESH_SECONDS
    ) -> None:
        """Set all gauges for one combination of label values.

        Args:
            labels: the label values.
            values: the value of each gauge, by its name.
            seconds: how long the values are fresh: a few times the measuring interval.
        """
        self._measured[labels] = _Measured(values, time.time(), self._clock() + seconds)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the samples for one scrape."""
        now, measured = self._clock(), dict(self._measured)
        text = "When this was measured last; 0: never. Its gauges are absent while it is not fresh."
        timestamp = GaugeMetricFamily(self._timestamp, text, labels=self._labels)
        for labels, one in measured.items():
            timestamp.add_metric(labels, one.at)
        yield timestamp
        for name, documentation in self._gauges.items():
            family = GaugeMetricFamily(name, documentation, labels=self._labels)
            for labels, one in measured.items():
                if now < one.until:
                    family.add_metric(labels, one.values[name])
            yield family
