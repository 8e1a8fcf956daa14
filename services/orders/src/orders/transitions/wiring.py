"""Construct the use cases of transitions for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import use_case
from orders.catalog.wiring import products
from orders.resources import OrdersResources
from orders.transitions.repository import TransitionRepository
from orders.transitions.service import TransitionService


def transitions(resources: OrdersResources, unit: Unit) -> TransitionService:
    """Return the use cases of transitions."""
    return TransitionService(
        transitions=TransitionRepository(unit),
        products=products(resources, unit),
        outbox=resources.outbox(unit),
        unit=unit,
        metrics=resources.order_metrics,
    )


Transitions = Annotated[TransitionService, use_case(transitions)]
