"""Construct the use case of outcomes for one transaction."""

from chassis.database.unit import Unit
from notifications.kinds.wiring import NotifyingResources
from notifications.outcomes.repository import OutcomeRepository
from notifications.outcomes.service import OutcomeService


def outcomes(resources: NotifyingResources, unit: Unit) -> OutcomeService:
    """Return the use case of outcomes."""
    return OutcomeService(
        unit=unit,
        outcomes=OutcomeRepository(unit),
        outbox=resources.outbox(unit),
        metrics=resources.notification_metrics,
    )
