"""What can go wrong with orders."""

from chassis.errors import Conflict, Invalid, NotFound


class OrderNotFound(NotFound):
    """No order of this caller has this id."""

    name = "order-not-found"
    title = "There is no such order."


class DuplicateProduct(Invalid):
    """A product stands in more than one line."""

    name = "duplicate-product"
    title = "A product may stand in one line only."


class UnknownProduct(Invalid):
    """A line names a product that does not exist."""

    name = "unknown-product"
    title = "A line names a product that does not exist."


class MixedCurrencies(Invalid):
    """The products are sold in more than one currency."""

    name = "mixed-currencies"
    title = "The products of one order must have the same currency."


class OutOfStock(Conflict):
    """Fewer are left than are wanted."""

    name = "out-of-stock"
    title = "Fewer are left than are wanted."
