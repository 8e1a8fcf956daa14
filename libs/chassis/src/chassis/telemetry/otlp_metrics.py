"""Metrics of the Prometheus registry as OTLP has them: the same names, labels and values."""

from collections.abc import Iterable, Iterator

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family
from prometheus_client.samples import Exemplar as PrometheusExemplar
from prometheus_client.samples import Sample

_SCOPE = InstrumentationScope("chassis")
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_TRACE_ID = "trace_id"
_NANOSECONDS = 1_000_000_000
_LE = "le"


def metrics_data(
    families: Iterable[Family], *, resource: Resource, began: int, now: int
) -> MetricsData:
    """Return what was collected as one export.

    Args:
        families: counters, gauges and histograms; no other kind is declared in this project.
        resource: says which process it is.
        began: when its counts began, in nanoseconds since 1970: a receiver knows a restart by it.
        now: when it was collected, likewise.
    """
    metrics = list(_metrics(families, began, now))
    scope = ScopeMetrics(scope=_SCOPE, metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metrics(families: Iterable[Family], began: int, now: int) -> Iterator[Metric]:
    for family in families:
        name, data = family.name, _data(family, began, now)
        if family.type == "counter":
            name += "_total"  # as the registry exposes it
        yield Metric(name=name, description=family.documentation, unit=family.unit, data=data)


def _data(family: Family, began: int, now: int) -> Sum | Gauge | Histogram:
    match family.type:
        case "counter":
            counted = (one for one in family.samples if one.name.endswith("_total"))
            numbers = [_number(sample, began, now) for sample in counted]
            return Sum(numbers, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
        case "histogram":
            return Histogram(list(_histograms(family, began, now)), _CUMULATIVE)
        case _:
            return Gauge([_number(sample, None, now) for sample in family.samples])


def _number(sample: Sample, began: int | None, now: int) -> NumberDataPoint:
    exemplars = [] if sample.exemplar is None else [_exemplar(sample.exemplar)]
    return NumberDataPoint(sample.labels, began, now, float(sample.value), exemplars)  # type: ignore[arg-type]  # a gauge has no begin, as the SDK's own


def _histograms(family: Family, began: int, now: int) -> Iterator[HistogramDataPoint]:
    """Yield a point for each set of labels: the registry yields its buckets, then its sum."""
    buckets: list[Sample] = []
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            buckets.append(sample)
        elif sample.name.endswith("_sum"):
            yield _histogram(sample, buckets, began, now)
            buckets = []


def _histogram(total: Sample, buckets: list[Sample], began: int, now: int) -> HistogramDataPoint:
    reached = [int(bucket.value) for bucket in buckets]
    return HistogramDataPoint(
        attributes=total.labels,
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=reached[-1],
        sum=total.value,
        # Each bucket of OTLP counts for itself; those of Prometheus include the smaller ones.
        bucket_counts=[high - low for low, high in zip([0, *reached], reached, strict=False)],
        explicit_bounds=[float(bucket.labels[_LE]) for bucket in buckets[:-1]],
        min=None,  # type: ignore[arg-type]  # the registry keeps none; the field is optional in OTLP
        max=None,  # type: ignore[arg-type]  # likewise
        exemplars=[_exemplar(bucket.exemplar) for bucket in buckets if bucket.exemplar],
    )


def _exemplar(exemplar: PrometheusExemplar) -> Exemplar:
    labels = dict(exemplar.labels)
    trace_id = labels.pop(_TRACE_ID, None)
    return Exemplar(
        filtered_attributes=labels,
        value=float(exemplar.value),
        time_unix_nano=int(float(exemplar.timestamp or 0) * _NANOSECONDS),
        # The encoder writes a trace only beside a span. Zeros are no span (OTLP, Exemplar.span_id).
        span_id=None if trace_id is None else 0,
        trace_id=None if trace_id is None else int(trace_id, 16),
    )
