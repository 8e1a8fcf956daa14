"""The names of a new service, and which are refused; the good ones are unlikely in a fork."""

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
    names = Names.of("guppies", None, taken=())
    assert names.values == {
        "service": "guppies",
        "Service": "Guppies",
        "SERVICE": "GUPPIES",
        "noun": "guppy",
        "Noun": "Guppy",
    }


def test_an_irregular_singular_can_be_given():
    assert Names.of("geese", "goose", taken=()).noun == "goose"


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
        ("barnacles", "orders", "a package 'orders' already"),
    ],
)
def test_a_name_that_would_not_work_is_refused(service, noun, why):
    with pytest.raises(NameRefusedError, match=why):
        Names.of(service, noun, taken={"orders"})
