"""Construct the use cases of accounts for one transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import resource, use_case
from users.accounts.repository import AccountRepository
from users.accounts.service import AccountService
from users.credentials.wiring import credential_ender
from users.email_verifications.service import EmailChanges
from users.email_verifications.wiring import email_changes, verification_requests
from users.resources import Resources
from users.throttling.repository import BucketRepository
from users.throttling.service import HashingThrottle, RequestThrottle


def accounts(resources: Resources, unit: Unit) -> AccountService:
    """Return the use cases of accounts."""
    return AccountService(
        accounts=AccountRepository(unit),
        outbox=resources.outbox(unit),
        passwords=resources.passwords,
        end_credentials=credential_ender(
            resources, unit, token_lifetime=resources.signer.lifetime
        ).end,
        mail_verification=verification_requests(resources, unit).request_for_new,
        audit=AuditLog(unit),
    )


@asynccontextmanager
async def account_transaction(resources: Resources) -> AsyncIterator[AccountService]:
    """Open a transaction for the use cases of accounts, and commit it at the end."""
    async with resources.database.transaction() as unit:
        yield accounts(resources, unit)


@asynccontextmanager
async def _throttle_transaction(resources: Resources) -> AsyncIterator[RequestThrottle]:
    async with resources.database.transaction() as unit:
        yield RequestThrottle(
            buckets=BucketRepository(unit),
            kind="registration",
            limits=resources.registration_limits,
        )


def registration_throttle(resources: Resources) -> HashingThrottle:
    """Return the throttle of registrations. It opens its own transaction."""
    return HashingThrottle(
        transaction=lambda: _throttle_transaction(resources), passwords=resources.passwords
    )


Accounts = Annotated[AccountService, use_case(accounts)]
EmailChangesDep = Annotated[EmailChanges, use_case(email_changes)]
RegistrationThrottle = Annotated[HashingThrottle, resource(registration_throttle)]
