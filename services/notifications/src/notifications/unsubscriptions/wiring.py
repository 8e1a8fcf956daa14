"""Construct the use cases of unsubscriptions for one transaction."""

from typing import Annotated

from chassis.auth.secret_keys import keys_in
from chassis.database.unit import Unit
from chassis.wiring import use_case
from notifications.feed.wiring import Resources
from notifications.preferences.repository import PreferenceRepository
from notifications.unsubscriptions.models import UnsubscribeTokens
from notifications.unsubscriptions.service import UnsubscriptionService


def unsubscriptions(resources: Resources, unit: Unit) -> UnsubscriptionService:
    """Return the use cases of unsubscriptions."""
    return UnsubscriptionService(
        preferences=PreferenceRepository(unit),
        tokens=UnsubscribeTokens(keys_in(resources.settings.unsubscribe_keys)),
    )


Unsubscriptions = Annotated[UnsubscriptionService, use_case(unsubscriptions)]
