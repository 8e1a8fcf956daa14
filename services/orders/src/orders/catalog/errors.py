"""The errors of products."""

from chassis.errors import Conflict, NotFound, Unavailable


class SkuTaken(Conflict):
    """There is a product with this SKU."""


class ProductNotFound(NotFound):
    """There is no such product."""


class SearchTooSlow(Unavailable):
    """The search took too long.

    It was stopped: it took longer than a search may.
    """


class AmountRangeError(ValueError):
    """An amount is beyond what JSON carries exactly."""


class CurrencyMismatchError(ValueError):
    """Amounts of different currencies are added."""
