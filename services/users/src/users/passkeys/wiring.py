"""Construct the use cases of passkeys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import resource, use_case
from users.accounts.repository import AccountRepository
from users.passkeys.repository import ChallengeRepository, PasskeyRepository
from users.passkeys.service import PasskeyCeremony, PasskeyService
from users.resources import Resources
from users.security_events.wiring import security_events
from users.sessions.wiring import sessions
from users.throttling.repository import BucketRepository
from users.throttling.service import RefusalRecords


def passkeys(resources: Resources, unit: Unit) -> PasskeyService:
    """Return the use cases of passkeys for one transaction."""
    return PasskeyService(
        passkeys=PasskeyRepository(unit),
        challenges=ChallengeRepository(unit),
        accounts=AccountRepository(unit),
        sessions=sessions(resources, unit),
        audit=AuditLog(unit),
        events=security_events(resources, unit),
        relying_party=resources.relying_party,
        refusals=RefusalRecords(buckets=BucketRepository(unit)),
    )


@asynccontextmanager
async def passkey_transaction(resources: Resources) -> AsyncIterator[PasskeyService]:
    """Open a transaction for a step of a ceremony, and commit it at the end."""
    async with resources.database.transaction() as unit:
        yield passkeys(resources, unit)


def ceremony(resources: Resources) -> PasskeyCeremony:
    """Return what ends the addition of a passkey, or a log-in. It opens its own transactions."""
    return PasskeyCeremony(transaction=lambda: passkey_transaction(resources))


Passkeys = Annotated[PasskeyService, use_case(passkeys)]
Ceremony = Annotated[PasskeyCeremony, resource(ceremony)]
