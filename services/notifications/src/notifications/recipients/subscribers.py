"""The handlers of the users service's events."""

from datetime import UTC, datetime

from chassis.messaging import Delivery
from chassis.wiring import ServiceResources
from contracts.users import (
    UserDeactivated,
    UserEmailVerified,
    UserProfileUpdated,
    UserReactivated,
    UserRegistered,
    UserSnapshot,
)
from notifications.recipients.wiring import recipients


async def on_user_registered(event: UserRegistered, delivery: Delivery[ServiceResources]) -> None:
    """Store a new user."""
    await recipients(delivery.resources, delivery.unit).registered(
        event.user_id,
        email=event.email,
        full_name=event.full_name,
        version=event.version,
        at=delivery.message.time or datetime.now(UTC),
    )


async def on_user_email_verified(
    event: UserEmailVerified, delivery: Delivery[ServiceResources]
) -> None:
    """Store that mails to the user's address arrive."""
    await recipients(delivery.resources, delivery.unit).email_was_verified(
        event.user_id, email=event.email, version=event.version
    )


async def on_user_profile_updated(
    event: UserProfileUpdated, delivery: Delivery[ServiceResources]
) -> None:
    """Store a user's new name."""
    await recipients(delivery.resources, delivery.unit).profile_updated(
        event.user_id, full_name=event.full_name, version=event.version
    )


async def on_user_deactivated(event: UserDeactivated, delivery: Delivery[ServiceResources]) -> None:
    """Store that a user gets no more mails: the account can't be used."""
    await recipients(delivery.resources, delivery.unit).activity_changed(
        event.user_id, is_active=False, version=event.version
    )


async def on_user_reactivated(event: UserReactivated, delivery: Delivery[ServiceResources]) -> None:
    """Store that a user gets mails again."""
    await recipients(delivery.resources, delivery.unit).activity_changed(
        event.user_id, is_active=True, version=event.version
    )


async def on_user_snapshot(event: UserSnapshot, delivery: Delivery[ServiceResources]) -> None:
    """Store a user whose earlier events Kafka may no longer hold."""
    await recipients(delivery.resources, delivery.unit).learn(
        event.user_id,
        email=event.email,
        email_verified=event.email_verified,
        is_active=event.is_active,
        full_name=event.full_name,
        version=event.version,
    )
