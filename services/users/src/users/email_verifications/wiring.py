"""Construct the use cases of e-mail verifications for one transaction."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from users.accounts.repository import AccountRepository
from users.email_verifications.models import MailVerification
from users.email_verifications.service import (
    EmailChanges,
    EmailVerificationRequests,
    EmailVerifications,
)
from users.one_time_tokens.wiring import one_time_tokens
from users.resources import Resources
from users.throttling.repository import BucketRepository
from users.throttling.service import RequestThrottle


def email_verifications(resources: ServiceResources, unit: Unit) -> EmailVerifications:
    """Return the use cases of verifications. A worker can use them, too."""
    return EmailVerifications(
        accounts=AccountRepository(unit),
        tokens=one_time_tokens(unit),
        outbox=resources.outbox(unit),
        audit=AuditLog(unit),
    )


def verification_requests(resources: Resources, unit: Unit) -> EmailVerificationRequests:
    """Return the use cases of requests for a verification."""
    return EmailVerificationRequests(throttle=_throttle(resources, unit), jobs=resources.jobs(unit))


def mail_verification_later(
    resources: ServiceResources, unit: Unit
) -> Callable[[UUID], Awaitable[None]]:
    """Return what has a verification mailed to an account, once the transaction is committed."""
    jobs = resources.jobs(unit)

    async def mail(account_id: UUID) -> None:
        await jobs.enqueue(MailVerification(user_id=account_id))

    return mail


def email_changes(resources: Resources, unit: Unit) -> EmailChanges:
    """Return the use cases of changes of one's own address."""
    return EmailChanges(
        accounts=AccountRepository(unit),
        tokens=one_time_tokens(unit),
        throttle=_throttle(resources, unit),
        outbox=resources.outbox(unit),
        audit=AuditLog(unit),
    )


def _throttle(resources: Resources, unit: Unit) -> RequestThrottle:
    return RequestThrottle(
        buckets=BucketRepository(unit), kind="verification mail", limits=resources.mail_limits
    )


Verifications = Annotated[EmailVerifications, use_case(email_verifications)]
VerificationRequests = Annotated[EmailVerificationRequests, use_case(verification_requests)]
