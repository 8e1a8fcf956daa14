"""The facts of each service's command are joined, and an incomplete one is an error."""

import json
import sys
from contextlib import contextmanager

import pytest

from chassis.verification.facts import Fact, Kind
from chassis.verification.judging import Difference
from slipway.errors import SlipwayError
from slipway.operate.verify import Source, source_via, verify

WINDOW = Fact(group="orders/order", key="", kind=Kind.WINDOW, at=1.0)
ROW = Fact(group="orders/order", key="k", kind=Kind.ROW, member="k", number=1, at=2.0)
EVENT = Fact(
    group="orders/order",
    key="k",
    kind=Kind.EVENT,
    member="k",
    number=1,
    id="e",
    place=0,
    early=True,
)
END = Fact(group="orders", key="", kind=Kind.END)


def source(*lines, then="pass", service="orders"):
    """Return a command that writes these lines."""
    script = f"import sys; print({chr(10).join(lines)!r}); {then}"
    return Source(service=service, command=(sys.executable, "-c", script))


def written(*facts):
    return [fact.to_line() for fact in facts]


def test_facts_that_agree_are_counted():
    result = verify([source(*written(EVENT, ROW, WINDOW, END))])
    assert (result.found, result.counts) == (0, {"orders/order": {"event": 1, "row": 1}})


def test_what_is_being_read_is_told_while_it_is_read():
    told = []

    @contextmanager
    def step(what):
        told.append(f"begin {what}")
        yield
        told.append(f"end {what}")

    verify([source(*written(EVENT, ROW, WINDOW, END))], step=step)
    steps = ("facts of orders", "comparison")
    assert told == [f"{when} {what}" for what in steps for when in ("begin", "end")]


def test_facts_of_several_services_are_judged_together_and_shown_up_to_a_bound():
    other = [
        Fact(group="users/account", key=str(number), kind=Kind.ROW, member="u", number=1, at=2.0)
        for number in range(3)
    ]
    begin = Fact(group="users/account", key="", kind=Kind.WINDOW, at=1.0)
    sources = [
        source(*written(ROW, WINDOW, END)),
        source(*written(*other, begin, END), service="users"),
    ]
    result = verify(sources, shown=2)
    assert (result.found, len(result.findings)) == (4, 2)
    assert {one.difference for one in result.findings} == {Difference.CHANGE_WITHOUT_EVENT}
    document = json.loads(result.to_json())
    assert document["found"] == 4
    assert document["findings"][0]["group"] == "orders/order"


def test_facts_without_an_end_are_an_error():
    with pytest.raises(SlipwayError, match="facts of orders are incomplete"):
        verify([source(*written(ROW, WINDOW))])


def test_a_command_that_fails_is_an_error_with_its_text():
    with pytest.raises(SlipwayError, match="status 3: Kafka is away"):
        verify([source(*written(END), then="print('Kafka is away', file=sys.stderr); sys.exit(3)")])


def test_a_line_that_is_no_fact_is_an_error():
    with pytest.raises(SlipwayError, match="orders wrote a line that is no fact"):
        verify([source("warning: something")])


def test_a_command_that_does_not_exist_is_an_error():
    with pytest.raises(SlipwayError, match="can't be run"):
        verify([Source(service="orders", command=("/does/not/exist",))])


def test_a_command_elsewhere_names_its_service():
    found = source_via("orders", "kubectl exec deploy/s-{service}-worker --", rate=7)
    assert " ".join(found.command) == (
        "kubectl exec deploy/s-orders-worker -- python -m chassis.run orders facts --rate 7"
    )
