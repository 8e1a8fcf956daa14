from textwrap import dedent

import pytest

from monitoring.metrics import NotLiteralError, declared_metrics


def _declared(root, text):
    file = root / "libs" / "some" / "src" / "some" / "module.py"
    file.parent.mkdir(parents=True)
    file.write_text("import prometheus_client\n" + dedent(text), encoding="utf-8")
    return declared_metrics(root)


def test_a_histogram_has_its_three_series(tmp_path):
    (metric,) = _declared(
        tmp_path, 'Histogram("a_seconds", "How" " long.", ("kind",), registry=registry)'
    )
    assert (metric.text, metric.labels, metric.package) == ("How long.", ("kind",), "some")
    assert metric.series == ("a_seconds_bucket", "a_seconds_sum", "a_seconds_count")


@pytest.mark.parametrize("name", ["a", "a_total"])
def test_a_counter_has_its_suffix_once(tmp_path, name):
    (metric,) = _declared(tmp_path, f'Counter("{name}", "As.", registry=registry)')
    assert metric.series == ("a_total",)


def test_a_measurement_has_its_gauges_and_its_timestamp(tmp_path):
    metrics = _declared(
        tmp_path,
        'Measurement(name="m", gauges={"a": "As.", "b": "Bs."}, labels=["k"], registry=registry)',
    )
    assert [metric.name for metric in metrics] == ["a", "b", "m_measured_timestamp_seconds"]
    assert {metric.labels for metric in metrics} == {("k",)}


def test_a_count_of_words_is_no_metric(tmp_path):
    assert _declared(tmp_path, "Counter(words)") == []


def test_a_name_that_is_computed_is_refused_with_its_place(tmp_path):
    with pytest.raises(NotLiteralError, match=r"module.py:2"):
        _declared(tmp_path, 'Gauge(name, "As.", registry=registry)')
