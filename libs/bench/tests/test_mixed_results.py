import json
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console

from bench.mixed.results import PUSHES, Result, RouteClass
from bench.mixed.tables import error_table, latency_table, usage_table
from bench.mixed.usage import Sample, Usage
from bench.mixed.verdict import carried, errors, flatness, latencies, restarts

PUSH = min(PUSHES)
LOAD = Path(__file__).parents[3] / "deploy/load"


def route_class(name="catalogue", *, failed=0, milliseconds=((1.0, 95), (200.0, 5))):
    sent = sum(count for _, count in milliseconds) + failed
    return RouteClass(name=name, sent=sent, failed=failed, milliseconds=milliseconds)


def result(*classes, seconds=10.0, steps=100):
    return Result(seconds=seconds, steps=steps, classes=classes, errors={})


def usage(memory, *, every=60.0, name="orders", ours=True, pids=None):
    samples = [
        Sample(at=number * every, pid=(pids or [1] * len(memory))[number], cpu=number, memory=value)
        for number, value in enumerate(memory)
    ]
    return Usage(name=name, ours=ours, samples=samples)


def text_of(table):
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_a_quantile_is_the_duration_that_this_share_did_not_exceed():
    one = route_class(milliseconds=((1.0, 50), (2.0, 45), (3.0, 4), (900.0, 1)))
    assert [one.quantile(share) for share in (0.5, 0.95, 0.951, 0.99, 1)] == [1, 2, 3, 3, 900]
    assert route_class(milliseconds=()).quantile(0.5) is None


def test_a_push_is_no_request_but_can_fail():
    both = result(route_class(milliseconds=((1.0, 100),)), route_class(PUSH, failed=1))
    assert both.requests_per_second == 10
    assert both.error_share == pytest.approx(1 / 201)
    assert result().error_share == 1


def test_one_percent_of_errors_is_too_many():
    assert not list(errors(result(route_class(failed=1, milliseconds=((1.0, 100),)))))
    assert list(errors(result(route_class(failed=1, milliseconds=((1.0, 99),)))))
    assert list(errors(result()))


def test_p95_is_judged_for_each_class_but_those_that_hash():
    slow = ((100.0, 100),)
    found = list(latencies(result(route_class(), route_class("log in", milliseconds=slow))))
    assert found == []
    (fault,) = latencies(result(route_class("search", milliseconds=slow)))
    assert fault.startswith("search: p95 is 100 ms")


def test_customers_who_lag_behind_fail_the_run():
    assert not list(carried(result(steps=90), 10))
    assert list(carried(result(steps=89), 10))


def test_a_process_that_was_started_again_fails_the_run():
    assert not list(restarts([usage([1, 1])]))
    (fault,) = restarts([usage([1, 1], pids=[1, 2])])
    assert fault.startswith("orders ended")


def test_a_slope_is_that_of_the_second_half():
    grown = usage([50, 90, 100, 101, 102, 103, 104])
    assert grown.slope == pytest.approx(60)
    assert (grown.start, grown.middle, grown.end, grown.peak) == (50, 101, 104, 104)
    assert usage([50]).slope == 0


def test_growth_in_the_second_half_beyond_the_bar_fails_the_run():
    flat, noisy = usage([50, 80, 100, 100, 101, 100]), usage([50, 100, 103, 100, 103, 100])
    foreign = usage([50, 100, 150, 200, 250, 300], name="postgres", ours=False)
    assert not list(flatness([flat, noisy, foreign]))
    (fault,) = flatness([usage([50, 60, 70, 80, 90, 100])])
    assert fault.startswith("orders grew by 20.0 MiB")


def test_the_bar_grows_with_the_time_that_was_measured():
    minutes = [100 + number * 10 / 60 for number in range(121)]  # 10 MiB an hour for two hours
    assert not list(flatness([usage(minutes)]))
    assert list(flatness([usage([100 + number * 15 / 60 for number in range(121)])]))


def test_the_tables_name_each_class_and_each_process():
    measured = result(route_class(failed=2), route_class(PUSH, milliseconds=()))
    latency = text_of(latency_table(measured))
    assert [cell.strip() for cell in latency.splitlines()[4].split("│")[1:-1]] == [
        *("catalogue", "102", "10.0", "1.0", "1.0", "200.0", "2"),
    ]
    assert "order to push" in latency
    table = text_of(usage_table([usage([50, 60])], measured))
    assert [cell.strip() for cell in table.splitlines()[-2].split("│")[1:-1]] == [
        *("orders", "1.7", "1.67", "50.0", "60.0", "60.0", "60.0", "+0.0"),
    ]


def test_failures_are_listed_with_their_number_the_most_frequent_first():
    failed = result().model_copy(update={"errors": {"rare [1]": 1, "often": 7}})
    text = text_of(error_table(failed))
    assert text.index("often") < text.index("rare [1]")


def test_durations_count_after_the_warm_up_and_failures_from_the_start(monkeypatch):
    monkeypatch.setitem(os.environ, "LOAD_WARM_UP", "5")
    monkeypatch.syspath_prepend(LOAD)
    outcomes = import_module("outcomes")  # a script of locust's environment

    now = 100.0
    monkeypatch.setattr(outcomes.time, "monotonic", lambda: now)
    counted = outcomes.Outcomes(warm_up=5)
    counted.begin()
    counted.record(name="search", response_time=7.0, exception=None, response_length=3)
    counted.record(name="search", response_time=7.0, exception=OSError("refused"))
    now = 106.0
    counted.step()
    counted.record(name="search", response_time=1.26, exception=None)
    now = 107.0
    counted.end()
    counted.step()
    counted.record(name="search", response_time=9.0, exception=None)
    read = Result.model_validate_json(counted.as_json())
    assert (read.seconds, read.steps) == (2, 1)
    (search,) = read.classes
    assert (search.sent, search.failed, search.milliseconds) == (4, 1, [(1.3, 1)])
    assert json.loads(counted.as_json())["errors"] == {"search: OSError('refused')": 1}
    sys.modules.pop("outcomes")
