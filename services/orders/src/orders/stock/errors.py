"""The errors of changes of stock."""

from chassis.errors import Conflict


class StockTooLow(Conflict):
    """Fewer are in stock than are to be taken away."""


class StockTooHigh(Conflict):
    """The stock would be larger than a stock may be."""
