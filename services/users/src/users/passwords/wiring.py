"""Construct the change of a password."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from chassis.audit import AuditLog
from chassis.wiring import resource
from users.accounts.repository import AccountRepository
from users.credentials.wiring import credential_ender
from users.passwords.service import PasswordChange, PasswordService
from users.resources import Resources
from users.security_events.wiring import security_events
from users.throttling.repository import BucketRepository
from users.throttling.service import LogInThrottle, RefusalRecords


@asynccontextmanager
async def password_transaction(resources: Resources) -> AsyncIterator[PasswordService]:
    """Open a transaction for a step of a change, and commit it at the end."""
    async with resources.database.transaction() as unit:
        buckets = BucketRepository(unit)
        yield PasswordService(
            accounts=AccountRepository(unit),
            ender=credential_ender(resources, unit, token_lifetime=resources.signer.lifetime),
            throttle=LogInThrottle(buckets=buckets, limits=resources.log_in_limits),
            events=security_events(resources, unit),
            refusals=RefusalRecords(buckets=buckets),
            audit=AuditLog(unit),
        )


def password_change(resources: Resources) -> PasswordChange:
    """Return the change. It opens its own transactions, so that none is open while Argon2 runs."""
    return PasswordChange(
        transaction=lambda: password_transaction(resources), passwords=resources.passwords
    )


PasswordChangeDep = Annotated[PasswordChange, resource(password_change)]
