"""All SQL on the history of stock."""

from uuid import UUID

from sqlalchemy import select

from chassis.database.unit import Unit
from chassis.paging import ListOrder, PageRequest, PageRows, TimePosition
from orders.catalog.models import StockAdjustment

_NEWEST_FIRST = ListOrder(
    TimePosition, StockAdjustment.created_at, StockAdjustment.id, descending=True
)


class StockHistory:
    """The adjustments of stock, read in one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def page(
        self, product_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[StockAdjustment, TimePosition]:
        """Return a page of a product's adjustments, newest first."""
        statement = select(StockAdjustment).where(StockAdjustment.product_id == product_id)
        return await _NEWEST_FIRST.page(self._unit.session, statement, wanted)
