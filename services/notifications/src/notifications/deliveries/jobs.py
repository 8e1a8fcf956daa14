"""The job that deletes the deliveries of a deleted webhook, and the retention of deliveries."""

from chassis.database.unit import Unit
from chassis.jobs import OutsideRun
from chassis.wiring import ServiceResources
from notifications.deliveries.repository import DeliveryRepository
from notifications.deliveries.wiring import deliveries
from notifications.webhooks.models import EraseDeliveries

_PAGE = 1000


async def erase_deliveries(arguments: EraseDeliveries, run: OutsideRun[ServiceResources]) -> None:
    """Delete all deliveries of a deleted webhook, in small transactions."""
    rows = _PAGE
    while rows:
        async with run.resources.database.transaction() as unit:
            rows = await deliveries(run.resources, unit).erase_of_webhook(
                arguments.webhook_id, limit=_PAGE
            )


async def prune_deliveries(unit: Unit, limit: int) -> int:
    """Delete deliveries that were settled over DELIVERIES_KEPT ago, and return how many."""
    return await DeliveryRepository(unit).prune(limit=limit)
