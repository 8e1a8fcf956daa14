"""A domain error's type and title come from its class, unless the class sets them."""

import pytest

from chassis.errors import Conflict, DomainError, NotFound, TooManyRequests


class OutOfStock(Conflict):
    """Fewer are left than are wanted.

    This paragraph is for the reader of the code.
    """


class NoMoreLogIns(TooManyRequests):
    """Too many log-ins."""


class Renamed(NotFound):
    """There is no such order."""

    name = "order-not-found"


class Hidden(OutOfStock):
    """Sold by another shop: the caller can't tell."""

    name = OutOfStock.name
    title = OutOfStock.title


@pytest.mark.parametrize(
    ("kind", "name", "title"),
    [
        (DomainError, "error", "The request can't be fulfilled."),
        (OutOfStock, "out-of-stock", "Fewer are left than are wanted."),
        (NoMoreLogIns, "no-more-log-ins", "Too many log-ins."),
        (Renamed, "order-not-found", "There is no such order."),
        (Hidden, "out-of-stock", "Fewer are left than are wanted."),
    ],
)
def test_a_kind_has_a_name_and_a_title(kind, name, title):
    assert (kind.name, kind.title) == (name, title)


def test_without_a_detail_an_error_says_its_title():
    error = OutOfStock()
    assert (error.detail, str(error)) == (OutOfStock.title, OutOfStock.title)


def test_a_subclass_does_not_inherit_the_title_of_another_problem():
    class SoldOut(OutOfStock):
        """All are sold."""

    assert (SoldOut.name, SoldOut.title) == ("sold-out", "All are sold.")


def test_a_kind_without_a_title_is_refused():
    with pytest.raises(TypeError, match="Untitled has no title"):

        class Untitled(Conflict):
            pass
