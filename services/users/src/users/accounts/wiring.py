"""Construct the use cases of accounts for one transaction."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

from chassis.audit import AuditLog
from chassis.database.unit import Unit
from chassis.wiring import resource, use_case
from users.accounts.repository import AccountRepository
from users.accounts.service import AccountService
from users.api_keys.wiring import revoker as key_revoker
from users.email_verifications.service import EmailChanges
from users.email_verifications.wiring import email_changes, mail_verification_later
from users.resources import Resources
from users.sessions.wiring import revoker as session_revoker
from users.throttling.repository import BucketRepository
from users.throttling.service import HashingThrottle, RequestThrottle


def accounts(resources: Resources, unit: Unit) -> AccountService:
    """Return the use cases of accounts."""
    return AccountService(
        accounts=AccountRepository(unit),
        outbox=resources.outbox(unit),
        passwords=resources.passwords,
        end_sessions=end_sessions_and_keys(resources, unit),
        end_credentials=end_all_credentials(resources, unit),
        mail_verification=mail_verification_later(resources, unit),
        audit=AuditLog(unit),
    )


def end_sessions_and_keys(resources: Resources, unit: Unit) -> Callable[[UUID], Awaitable[None]]:
    """Return the function that ends an account's sessions, and the keys that it may not have."""
    lifetime = resources.signer.lifetime
    sessions = session_revoker(resources, unit, token_lifetime=lifetime)
    keys = key_revoker(resources, unit, token_lifetime=lifetime)

    async def end(user_id: UUID) -> None:
        await sessions.revoke_all(user_id)
        # Keys depend on the account as it is at the commit. The use case may still change it.
        unit.before_commit(lambda _: keys.revoke_unentitled(user_id))

    return end


def end_all_credentials(resources: Resources, unit: Unit) -> Callable[[UUID], Awaitable[None]]:
    """Return the function that ends and announces all sessions and keys of an account.

    If the account is deleted, call it before: the deletion takes the rows of both with it.
    """
    lifetime = resources.signer.lifetime

    async def end(user_id: UUID) -> None:
        await session_revoker(resources, unit, token_lifetime=lifetime).revoke_all(user_id)
        await key_revoker(resources, unit, token_lifetime=lifetime).revoke_all(user_id)

    return end


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
