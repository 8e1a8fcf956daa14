"""The errors of orders."""

from chassis.errors import Conflict, Invalid, NotFound


class OrderNotFound(NotFound):
    """There is no such order."""


class DuplicateProduct(Invalid):
    """A product may stand in one line only."""


class UnknownProduct(Invalid):
    """A line names a product that does not exist."""


class MixedCurrencies(Invalid):
    """The products of one order must have the same currency."""


class TotalTooLarge(Invalid):
    """The order adds up to more than an amount may be."""


class ProductInactive(Conflict):
    """A product of the order is not sold at present."""


class OutOfStock(Conflict):
    """Fewer are left than are wanted."""
