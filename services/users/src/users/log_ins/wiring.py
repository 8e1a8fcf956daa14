"""Construct the log-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from chassis.audit import AuditLog
from chassis.wiring import resource
from users.accounts.repository import AccountRepository
from users.log_ins.service import LogIn, LogInService, LogInThrottle, SecondFactor
from users.resources import Resources
from users.sessions.wiring import sessions
from users.throttling.repository import BucketRepository
from users.totp.wiring import totp_verifier


@asynccontextmanager
async def log_in_transaction(resources: Resources) -> AsyncIterator[LogInService]:
    """Open a transaction for a step of a log-in, and commit it at the end."""
    async with resources.database.transaction() as unit:
        buckets = BucketRepository(unit)
        yield LogInService(
            accounts=AccountRepository(unit),
            sessions=sessions(resources, unit),
            throttle=LogInThrottle(buckets=buckets, limits=resources.log_in_limits),
            second_factor=SecondFactor(
                totp=totp_verifier(resources, unit),
                buckets=buckets,
                limits=resources.log_in_limits,
                audit=AuditLog(unit),
            ),
        )


def log_in(resources: Resources) -> LogIn:
    """Return the log-in. It opens its own transactions, so that none is open while Argon2 runs."""
    return LogIn(transaction=lambda: log_in_transaction(resources), passwords=resources.passwords)


LogInDep = Annotated[LogIn, resource(log_in)]
