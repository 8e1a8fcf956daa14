"""Construct the use case of security events for one transaction."""

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources
from users.accounts.repository import AccountRepository
from users.security_events.service import SecurityEvents


def security_events(resources: ServiceResources, unit: Unit) -> SecurityEvents:
    """Return what publishes security events of accounts."""
    return SecurityEvents(accounts=AccountRepository(unit), outbox=resources.outbox(unit))
