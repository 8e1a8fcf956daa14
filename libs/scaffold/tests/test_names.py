"""The names of a new service, and which are refused."""

import pytest

from scaffold.names import NameRefusedError, Names, singular_of


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("reviews", "review"),
        ("replies", "reply"),
        ("boxes", "box"),
        ("classes", "class"),
        ("branches", "branch"),
        ("houses", "house"),
        ("staff", "staff"),
        ("glass", "glass"),
    ],
)
def test_the_singular_of_a_regular_plural(plural, singular):
    assert singular_of(plural) == singular


def test_a_service_has_the_forms_that_its_files_need():
    names = Names.of("replies", None, taken=())
    assert names.values == {
        "service": "replies",
        "Service": "Replies",
        "SERVICE": "REPLIES",
        "noun": "reply",
        "Noun": "Reply",
    }


def test_an_irregular_singular_can_be_given():
    assert Names.of("people", "person", taken=()).noun == "person"


@pytest.mark.parametrize(
    ("service", "noun", "why"),
    [
        ("Reviews", None, "can't name a package"),
        ("gift-cards", None, "can't name a package"),
        ("r", None, "can't name a package"),
        ("reviews", "re view", "can't name a package"),
        ("classes", None, "can't name a package"),  # its singular is a keyword
        ("x" * 21, None, "can't name a package"),
        ("staff", None, "Name the service with a plural"),
        ("orders", None, "a package 'orders' already"),
        ("types", None, "a package 'types' already"),  # of the standard library
        ("invoices", "orders", "a package 'orders' already"),
    ],
)
def test_a_name_that_would_not_work_is_refused(service, noun, why):
    with pytest.raises(NameRefusedError, match=why):
        Names.of(service, noun, taken={"orders"})
