"""The handlers of the users service's events."""

from chassis.messaging import Delivery
from chassis.wiring import ServiceResources
from contracts.users import (
    UserDeactivated,
    UserDeleted,
    UserReactivated,
    UserRegistered,
    UserSnapshot,
)
from orders.customers.wiring import customers


async def user_registered(event: UserRegistered, delivery: Delivery[ServiceResources]) -> None:
    """Store the new customer."""
    use_cases = customers(delivery.resources, delivery.unit)
    await use_cases.registered(event.user_id, version=event.version)


async def user_snapshot(event: UserSnapshot, delivery: Delivery[ServiceResources]) -> None:
    """Store a customer whose earlier events Kafka may no longer hold."""
    use_cases = customers(delivery.resources, delivery.unit)
    await use_cases.learn(event.user_id, is_active=event.is_active, version=event.version)


async def user_deactivated(event: UserDeactivated, delivery: Delivery[ServiceResources]) -> None:
    """Make the customer inactive, and have their open orders cancelled."""
    use_cases = customers(delivery.resources, delivery.unit)
    await use_cases.learn(event.user_id, is_active=False, version=event.version)


async def user_reactivated(event: UserReactivated, delivery: Delivery[ServiceResources]) -> None:
    """Let the customer order again. Orders that were cancelled meanwhile stay cancelled."""
    use_cases = customers(delivery.resources, delivery.unit)
    await use_cases.learn(event.user_id, is_active=True, version=event.version)


async def user_deleted(event: UserDeleted, delivery: Delivery[ServiceResources]) -> None:
    """Make the customer inactive, and have their open orders cancelled and all anonymised."""
    use_cases = customers(delivery.resources, delivery.unit)
    await use_cases.learn(event.user_id, is_active=False, is_deleted=True, version=event.version)
