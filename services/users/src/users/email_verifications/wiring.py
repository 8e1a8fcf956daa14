"""Construct the use cases of e-mail verifications for one transaction."""

from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import ServiceResources, use_case
from users.accounts.repository import AccountRepository
from users.email_verifications.service import (
    EmailChanges,
    EmailConfirmations,
    EmailVerificationMails,
    EmailVerificationRequests,
)
from users.one_time_tokens.wiring import one_time_tokens
from users.resources import Resources
from users.throttling.repository import BucketRepository
from users.throttling.service import LogInThrottle, RequestThrottle


def verification_mails(resources: ServiceResources, unit: Unit) -> EmailVerificationMails:
    """Return the use cases that mail a verification. A worker can use them, too."""
    return EmailVerificationMails(
        accounts=AccountRepository(unit),
        tokens=one_time_tokens(unit),
        outbox=resources.outbox(unit),
    )


def email_confirmations(resources: Resources, unit: Unit) -> EmailConfirmations:
    """Return the use case that confirms an address."""
    return EmailConfirmations(
        accounts=AccountRepository(unit),
        tokens=one_time_tokens(unit),
        log_ins=LogInThrottle(buckets=BucketRepository(unit), limits=resources.log_in_limits),
        outbox=resources.outbox(unit),
        audit=AuditLog(unit),
    )


def verification_requests(resources: Resources, unit: Unit) -> EmailVerificationRequests:
    """Return the use cases of requests for a verification."""
    return EmailVerificationRequests(throttle=_throttle(resources, unit), jobs=resources.jobs(unit))


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


Confirmations = Annotated[EmailConfirmations, use_case(email_confirmations)]
VerificationRequests = Annotated[EmailVerificationRequests, use_case(verification_requests)]
