"""The handlers of the users service's events."""

from chassis.messaging import Delivery
from chassis.wiring import ServiceResources
from contracts.users import (
    UserDeleted,
    UserProfileUpdated,
    UserRegistered,
    UserSnapshot,
)
from notifications.mails.wiring import mails
from notifications.recipients.wiring import recipients


async def on_user_registered(event: UserRegistered, delivery: Delivery[ServiceResources]) -> None:
    """Store a new user."""
    await recipients(delivery.resources, delivery.unit).registered(
        event.user_id, email=event.email, full_name=event.full_name, version=event.version
    )


async def on_user_profile_updated(
    event: UserProfileUpdated, delivery: Delivery[ServiceResources]
) -> None:
    """Store a user's new name."""
    await recipients(delivery.resources, delivery.unit).profile_updated(
        event.user_id, full_name=event.full_name, version=event.version
    )


async def on_user_snapshot(event: UserSnapshot, delivery: Delivery[ServiceResources]) -> None:
    """Store a user whose earlier events Kafka may no longer hold."""
    await recipients(delivery.resources, delivery.unit).learn(
        event.user_id, email=event.email, full_name=event.full_name, version=event.version
    )


async def on_user_deleted(event: UserDeleted, delivery: Delivery[ServiceResources]) -> None:
    """Erase a user's data, and notify the user no more."""
    await recipients(delivery.resources, delivery.unit).deleted(
        event.user_id, version=event.version
    )
    await mails(delivery.resources, delivery.unit).erase(event.user_id)
