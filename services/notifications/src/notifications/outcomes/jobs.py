"""The retention of outcomes."""

from chassis.database.unit import Unit
from notifications.outcomes.repository import OutcomeRepository


async def prune_outcomes(unit: Unit, limit: int) -> int:
    """Delete counts of outcomes that last rose over OUTCOMES_KEPT ago, and return how many."""
    return await OutcomeRepository(unit).prune(limit=limit)
