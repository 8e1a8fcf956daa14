"""Each change of a level needs its cause, and each cause its change; facts are sorted in files."""

from dataclasses import replace

import pytest

from chassis.verification.facts import Fact, Kind, read_fact
from chassis.verification.judging import Difference, Judge
from chassis.verification.levels import unexplained
from chassis.verification.sorting import SortedFacts

BEGIN = 1_000.0
TIMES = (2_000.0, 2_059.0, 2_110.0)


def levels(*values, first=1, at=2_000.0):
    """Return events of one subject with these levels, a second apart."""
    return [
        Fact(
            group="g",
            key="k",
            kind=Kind.EVENT,
            member="k",
            number=first + place,
            level=value,
            at=at + place,
            id=str(first + place),
            place=place,
            early=True,
        )
        for place, value in enumerate(values)
    ]


def cause(delta, at):
    return Fact(group="g", key="k", kind=Kind.CAUSE, member="k", number=delta, at=at)


def test_each_move_with_its_cause_is_explained():
    causes = [cause(-2, 2_001), cause(-2, 2_002), cause(5, 2_003)]
    assert list(unexplained(levels(10, 8, 6, 11), causes, begin=BEGIN)) == []


def test_a_move_without_a_cause_is_named():
    (found,) = unexplained(levels(10, 8, 6), [cause(-2, 2_001)], begin=BEGIN)
    assert "version 3 moved it by -2" in found


def test_a_cause_without_a_move_is_named():
    causes = [cause(-2, 2_001), cause(-3, 2_100)]
    (found,) = unexplained(levels(10, 8), causes, begin=BEGIN)
    assert found.startswith("-3 of 1970-01-01")


def test_a_cause_of_another_amount_is_two_differences():
    found = list(unexplained(levels(10, 8), [cause(-3, 2_070)], begin=BEGIN))
    assert len(found) == 2


def test_several_causes_of_one_transaction_make_one_move():
    causes = [cause(2, 2_001.5), cause(3, 2_001.5)]
    assert list(unexplained(levels(10, 15), causes, begin=BEGIN)) == []


def test_a_cause_that_is_far_away_explains_nothing():
    found = list(unexplained(levels(10, 8), [cause(-2, 2_001 + 61)], begin=BEGIN))
    assert "version 2 moved it by -2" in found[0]


def test_a_move_of_several_causes_leaves_its_causes_to_no_other_move():
    """One transaction cancels two orders of a piece each, and another one a third order."""
    causes = [cause(1, 2_001), cause(1, 2_001), cause(1, 2_002)]
    assert list(unexplained(levels(10, 12, 13), causes, begin=BEGIN)) == []
    causes = [cause(1, 2_001), cause(1, 2_002), cause(1, 2_002)]
    assert list(unexplained(levels(10, 11, 13), causes, begin=BEGIN)) == []


def test_causes_that_only_seem_to_be_of_one_transaction_are_matched_one_by_one():
    """Two transactions may begin in the same microsecond."""
    causes = [cause(-1, 2_001), cause(-1, 2_001), cause(-2, 2_000.5)]
    assert list(unexplained(levels(10, 9, 8, 6), causes, begin=BEGIN)) == []


def test_a_cause_that_the_first_event_hides_is_taken_by_no_later_move():
    """A product is made with ten pieces and gets ten more, twice, always within the tolerance."""
    events = [replace(one, at=at) for one, at in zip(levels(10, 20, 30), TIMES, strict=True)]
    assert list(unexplained(events, [cause(10, at) for at in TIMES], begin=BEGIN)) == []


@pytest.mark.parametrize("of", [2, 3])
def test_a_snapshot_announces_no_move(of):
    """A replay publishes it long after the change that made the version."""
    events = levels(10, 8, 6)
    snapshot = replace(events[of - 1], id="s", at=9_000.0, place=9, snapshot=True)
    causes = [cause(-2, 2_001), cause(-2, 2_002)]
    for several in ([*events, snapshot], [snapshot, *events]):
        assert list(unexplained(several, causes, begin=BEGIN)) == []


def test_a_snapshot_in_place_of_a_lost_event_moves_nothing():
    events = levels(10, 8, 6)
    events[1] = replace(events[1], at=9_000.0, snapshot=True)
    assert list(unexplained(events, [cause(-2, 2_001), cause(-2, 2_002)], begin=BEGIN)) == []


@pytest.mark.parametrize("others", [11, 9, 5])
def test_an_altered_level_is_named_although_a_snapshot_has_repeated_it(others):
    events = levels(8, others)
    snapshot = replace(events[1], level=10, id="s", place=9, snapshot=True)
    row = Fact(group="g", key="k", kind=Kind.ROW, member="k", number=2, level=10, at=2_001.0)
    window = Fact(group="g", key="", kind=Kind.WINDOW, at=BEGIN)
    for several in ([*events, snapshot], [snapshot, *events]):
        facts = [row, cause(others - 8, 2_001), *several]
        found = list(Judge().findings([[window], facts]))
        assert [one.difference for one in found] == [Difference.OTHER_LEVEL]
        assert f"of its version {others}" in found[0].text


def test_the_first_event_of_the_window_hides_what_it_moved():
    assert list(unexplained(levels(10, first=7), [cause(-2, 2_000)], begin=BEGIN)) == []


def test_a_move_that_came_while_rows_were_read_needs_no_cause_yet():
    late = [Fact(**{**_fields(one), "early": one.number == 1}) for one in levels(10, 8)]
    assert list(unexplained(late, [], begin=BEGIN)) == []


def test_a_row_with_another_level_than_its_event_is_named():
    row = Fact(group="g", key="k", kind=Kind.ROW, member="k", number=2, level=9, at=2_001.0)
    window = Fact(group="g", key="", kind=Kind.WINDOW, at=BEGIN)
    facts = [row, cause(-2, 2_001), *levels(10, 8)]
    found = list(Judge().findings([[window], facts]))
    assert [one.difference for one in found] == [Difference.OTHER_LEVEL]
    assert str(found[0]).startswith("g k: other level: the row has 9")


def _fields(fact):
    return {name: getattr(fact, name) for name in type(fact).__dataclass_fields__}


@pytest.mark.parametrize("in_memory", [1, 2, 100])
def test_facts_are_sorted_by_group_and_key_with_little_memory(in_memory):
    facts = [
        Fact(group=group, key=key, kind=Kind.EXCUSE, member=str(number))
        for number in range(2)
        for key in ("b", "a", "", "a\tb", "a b", "a\nb", "a\r", " ", "ä")
        for group in ("y", "x")
    ]
    with SortedFacts(in_memory=in_memory) as ordered:
        for fact in facts:
            ordered.add(fact)
        found = [(same[0].group, same[0].key, len(same)) for _, same in ordered.by_key()]
    keys = ["", " ", "a", "a\tb", "a\nb", "a\r", "a b", "b", "ä"]
    assert sorted(found) == [(group, key, 2) for group in ("x", "y") for key in keys]
    assert [group for group, _, _ in found] == ["x"] * 9 + ["y"] * 9
    assert {key for group, key, _ in found[:1] + found[9:10]} == {""}, "the window comes first"


def test_a_fact_is_a_line_of_json():
    fact = levels(3)[0]
    assert read_fact(fact.to_line()) == fact
    assert "\n" not in fact.to_line()
    with pytest.raises(ValueError, match="JSON"):
        read_fact("no fact")


def test_a_version_that_was_damaged_is_named_however_far_it_is_from_the_others():
    """Its distance is billions: it must not be held in memory, number by number."""
    far = 2**62
    window = Fact(group="g", key="", kind=Kind.WINDOW, at=BEGIN)
    row = Fact(group="g", key="k", kind=Kind.ROW, member="k", number=far, at=2_000.0)
    [stray] = levels(None, first=far // 2)
    stray = replace(stray, place=2)  # after the others
    found = list(Judge().findings([[window], [row, *levels(None, None), stray]]))
    assert {one.difference for one in found} == {Difference.GAP, Difference.CHANGE_WITHOUT_EVENT}
    assert f"ce_sequence 3, 4, … {far // 2 - 1} is missing between 2 and {far // 2}" in str(
        found[0]
    )
    assert f"no event of version {far // 2 + 1}, {far // 2 + 2}, … {far}" in str(found[1])
