"""Construct the password reset."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, resource, use_case
from users.accounts.repository import AccountRepository
from users.credentials.wiring import credential_ender
from users.one_time_tokens.wiring import one_time_tokens
from users.password_resets.service import (
    PasswordReset,
    PasswordResetMails,
    PasswordResetRequests,
    PasswordResetService,
)
from users.resources import Resources
from users.security_events.wiring import security_events
from users.throttling.repository import BucketRepository
from users.throttling.service import LogInThrottle, RequestThrottle


def reset_requests(resources: Resources, unit: Unit) -> PasswordResetRequests:
    """Return the use cases of requests for a reset."""
    throttle = RequestThrottle(
        buckets=BucketRepository(unit), kind="reset mail", limits=resources.mail_limits
    )
    return PasswordResetRequests(throttle=throttle, jobs=resources.jobs(unit))


def password_reset_mails(resources: ServiceResources, unit: Unit) -> PasswordResetMails:
    """Return the use case that mails a reset. A worker can use it, too."""
    return PasswordResetMails(
        accounts=AccountRepository(unit),
        tokens=one_time_tokens(unit),
        outbox=resources.outbox(unit),
        audit=AuditLog(unit),
    )


@asynccontextmanager
async def password_reset_transaction(
    resources: Resources,
) -> AsyncIterator[PasswordResetService]:
    """Open a transaction for a step of a reset, and commit it at the end."""
    async with resources.database.transaction() as unit:
        yield PasswordResetService(
            accounts=AccountRepository(unit),
            tokens=one_time_tokens(unit),
            outbox=resources.outbox(unit),
            ender=credential_ender(resources, unit, token_lifetime=resources.signer.lifetime),
            events=security_events(resources, unit),
            log_ins=LogInThrottle(buckets=BucketRepository(unit), limits=resources.log_in_limits),
            audit=AuditLog(unit),
        )


def password_reset(resources: Resources) -> PasswordReset:
    """Return the reset. It opens its own transactions, so that none is open while Argon2 runs."""
    return PasswordReset(
        transaction=lambda: password_reset_transaction(resources), passwords=resources.passwords
    )


PasswordResetDep = Annotated[PasswordReset, resource(password_reset)]
ResetRequests = Annotated[PasswordResetRequests, use_case(reset_requests)]
