"""A histogram for what every request pays for."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import Exemplar, HistogramMetricFamily, Metric, Sample
from prometheus_client.registry import Collector


class _Counts:
    """The observations with the same labels."""

    __slots__ = ("exemplars", "numbers", "since", "total")

    def __init__(self, places: int) -> None:
        self.numbers = [0] * places
        self.exemplars: dict[int, Exemplar] = {}
        self.total = 0.0
        self.since = time.time()


class LoopHistogram(Collector):
    """A histogram whose observations are made on one event loop; any thread may collect it.

    It needs no lock. The library's histogram takes two for each observation and makes five calls,
    which takes six times as long: 1.1 µs in place of 0.2.

    Args:
        name: the name of the family.
        text: its documentation.
        labels: the names of its labels.
        buckets: the bounds, in rising order, without infinity.
        registry: the registry of the process.
    """

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._text = text
        self._labels = tuple(labels)
        self._buckets = tuple(buckets)
        self._bounds = [*(str(float(bound)) for bound in buckets), "+Inf"]
        self._counts: dict[tuple[str | int, ...], _Counts] = {}
        if not labels:  # there from the start, as the library's is
            self._counts[()] = _Counts(len(self._bounds))
        registry.register(self)

    def observe(
        self, labels: tuple[str | int, ...], value: float, trace_id: str | None = None
    ) -> None:
        """Count one observation.

        Args:
            labels: the values of the labels, in their order; no two texts of theirs are equal.
            value: what was observed.
            trace_id: its trace, if that is recorded: the exemplar.
        """
        counts = self._counts.get(labels)
        if counts is None:
            self._counts[labels] = counts = _Counts(len(self._bounds))
        place = bisect_left(self._buckets, value)
        counts.numbers[place] += 1
        counts.total += value
        if trace_id is not None:
            counts.exemplars[place] = Exemplar({"trace_id": trace_id}, value, time.time())

    def describe(self) -> Iterator[Metric]:
        """Yield the family without samples: a scraper can ask for it by name."""
        yield HistogramMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """Yield the samples for one scrape, as the library's histogram would."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        # Copies: the loop counts on while another thread, that of `MetricsPush`, reads.
        for values, counts in list(self._counts.items()):
            texts = [str(value) for value in values]
            numbers = accumulate(counts.numbers.copy())
            buckets = [
                (bound, number, counts.exemplars.get(place))
                for place, (bound, number) in enumerate(zip(self._bounds, numbers, strict=True))
            ]
            family.add_metric(texts, buckets, counts.total)  # type: ignore[arg-type]  # None: no exemplar
            labels = dict(zip(self._labels, texts, strict=True))
            family.samples.append(Sample(f"{self._name}_created", labels, counts.since))
        yield family
