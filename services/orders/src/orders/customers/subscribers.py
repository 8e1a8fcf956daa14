"""What the events of the users service do here."""

from chassis.messaging import Delivery
from contracts.users import UserRegistered, UserSnapshot
from orders.wiring import Resources


async def user_registered(event: UserRegistered, delivery: Delivery[Resources]) -> None:
    """Know the customer before the first order comes."""
    customers = delivery.resources.customers(delivery.session)
    await customers.registered(event.user_id, version=event.version)


async def user_snapshot(event: UserSnapshot, delivery: Delivery[Resources]) -> None:
    """Learn of a customer whose own events are no longer kept."""
    customers = delivery.resources.customers(delivery.session)
    await customers.learn(event.user_id, is_active=event.is_active, version=event.version)
