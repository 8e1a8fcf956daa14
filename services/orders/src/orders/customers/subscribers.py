"""What the events of the users service do here."""

from chassis.messaging import Delivery
from contracts.users import UserRegistered
from orders.wiring import Resources


async def user_registered(event: UserRegistered, delivery: Delivery[Resources]) -> None:
    """Know the customer before the first order comes."""
    customers = delivery.resources.customers(delivery.session)
    await customers.registered(event.user_id, version=event.version)
