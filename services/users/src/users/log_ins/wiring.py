"""Construct the log-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from chassis.audit import AuditLog
from chassis.wiring import resource
from users.accounts.repository import AccountRepository
from users.log_ins.service import LogIn, LogInService, SecondFactor
from users.resources import Resources
from users.sessions.wiring import sessions
from users.throttling.repository import BucketRepository
from users.throttling.service import CodeThrottle, LogInThrottle, RefusalRecords
from users.totp.wiring import totp_verifier


@asynccontextmanager
async def log_in_transaction(resources: Resources) -> AsyncIterator[LogInService]:
    """Open a transaction for a step of a log-in, and commit it at the end."""
    async with resources.database.transaction() as unit:
        buckets, audit = BucketRepository(unit), AuditLog(unit)
        limits, refusals = resources.log_in_limits, RefusalRecords(buckets=buckets)
        yield LogInService(
            accounts=AccountRepository(unit),
            sessions=sessions(resources, unit),
            throttle=LogInThrottle(buckets=buckets, limits=limits),
            second_factor=SecondFactor(
                totp=totp_verifier(resources, unit),
                throttle=CodeThrottle(buckets=buckets, limits=limits),
                refusals=refusals,
                audit=audit,
            ),
            refusals=refusals,
            audit=audit,
        )


def log_in(resources: Resources) -> LogIn:
    """Return the log-in. It opens its own transactions, so that none is open while Argon2 runs."""
    return LogIn(transaction=lambda: log_in_transaction(resources), passwords=resources.passwords)


LogInDep = Annotated[LogIn, resource(log_in)]
