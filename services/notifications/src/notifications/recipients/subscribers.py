"""Events of the users service."""

from chassis.messaging import Delivery
from contracts.users import UserProfileUpdated, UserRegistered, UserSnapshot
from notifications.wiring import Resources


async def on_user_registered(event: UserRegistered, delivery: Delivery[Resources]) -> None:
    """Learn of a new user."""
    await delivery.resources.recipients(delivery.session).registered(
        event.user_id, email=event.email, full_name=event.full_name, version=event.version
    )


async def on_user_profile_updated(event: UserProfileUpdated, delivery: Delivery[Resources]) -> None:
    """Learn of a user's new name."""
    await delivery.resources.recipients(delivery.session).profile_updated(
        event.user_id, full_name=event.full_name, version=event.version
    )


async def on_user_snapshot(event: UserSnapshot, delivery: Delivery[Resources]) -> None:
    """Learn of a user whose own events are no longer kept."""
    await delivery.resources.recipients(delivery.session).learn(
        event.user_id, email=event.email, full_name=event.full_name, version=event.version
    )
