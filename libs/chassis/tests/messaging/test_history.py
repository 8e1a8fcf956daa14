"""The checker of histories detects a loss, a double, an inversion and a ghost."""

import pytest

from .history import faults

RAISED = {"a": 3, "b": 2}
GOOD = [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]


def test_a_history_in_which_each_effect_came_once_and_in_order_has_no_fault():
    assert faults(GOOD, RAISED) == []
    assert faults([], {}) == []


@pytest.mark.parametrize(
    ("effects", "fault"),
    [
        (GOOD[:-1], "a: 3 is lost"),
        (GOOD[1:], "a: 1 is lost"),
        ([], "b: 2 is lost"),
        ([*GOOD, ("b", 2)], "b: 2 took effect 2 times"),
        ([GOOD[2], GOOD[1], GOOD[0], *GOOD[3:]], "a: 2 came before 1"),
        ([*GOOD, ("a", 4)], "a: 4 was never raised"),
        ([*GOOD, ("c", 1)], "c: 1 was never raised"),
    ],
)
def test_each_kind_of_fault_is_found(effects, fault):
    assert fault in faults(effects, RAISED)
