"""Construct the use cases of transitions for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from orders.catalog.wiring import products
from orders.transitions.repository import TransitionRepository
from orders.transitions.service import TransitionService


def transitions(resources: ServiceResources, unit: Unit) -> TransitionService:
    """Return the use cases of transitions."""
    return TransitionService(
        transitions=TransitionRepository(unit),
        products=products(resources, unit),
        outbox=resources.outbox(unit),
    )


Transitions = Annotated[TransitionService, use_case(transitions)]
