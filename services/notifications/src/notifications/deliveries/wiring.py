"""Construct the use cases of deliveries for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from notifications.deliveries.repository import DeliveryRepository
from notifications.deliveries.service import DeliveryService
from notifications.webhooks.repository import WebhookRepository


def deliveries(resources: ServiceResources, unit: Unit) -> DeliveryService:
    """Return the use cases of deliveries."""
    return DeliveryService(
        deliveries=DeliveryRepository(unit),
        webhooks=WebhookRepository(unit),
        jobs=resources.jobs(unit),
    )


Deliveries = Annotated[DeliveryService, use_case(deliveries)]
