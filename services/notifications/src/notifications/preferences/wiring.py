"""Construct the use cases of preferences for one transaction."""

from typing import Annotated

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from notifications.preferences.repository import PreferenceRepository
from notifications.preferences.service import PreferenceService


def preferences(_resources: ServiceResources, unit: Unit) -> PreferenceService:
    """Return the use cases of preferences."""
    return PreferenceService(preferences=PreferenceRepository(unit))


PreferencesDep = Annotated[PreferenceService, use_case(preferences)]
