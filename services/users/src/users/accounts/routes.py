"""HTTP routes of accounts."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Query, Request, Response

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.auth.passwords import PasswordsBusy
from chassis.errors import (
    LogInRequired,
    PreconditionFailed,
    ReauthenticationNeeded,
    TooManyRequests,
)
from chassis.http import (
    ExpectedVersion,
    Page,
    Pages,
    Router,
    acting,
    acting_in_person,
    problems,
)
from chassis.http.origin import client_address, limit_key
from chassis.paging import TimePosition
from chassis.wire_names import MERGE_PATCH
from users.accounts.errors import AccountNotFound, EmailTaken, LastAdmin
from users.accounts.models import email_key
from users.accounts.schemas import (
    AccountPatch,
    AccountQuery,
    ProfilePatch,
    Registration,
    User,
)
from users.accounts.wiring import Accounts, EmailChangesDep, RegistrationThrottle

router = Router(prefix="/api/v1/users", tags=["accounts"])

_MERGE_PATCH = Body(media_type=MERGE_PATCH)

Owner = Annotated[Principal, require_scope("profile")]
Reader = Annotated[Principal, require_scope("users:read")]
OwnerActing = Annotated[Actor, acting("profile")]
# In person: a key that changes roles could make its holder an administrator.
Administrator = Annotated[Actor, acting_in_person("users:write")]


@router.post(
    "",
    status_code=201,
    operation_id="registerUser",
    versioned=True,
    responses=problems(EmailTaken, PasswordsBusy, TooManyRequests),
)
async def register(
    body: Registration,
    accounts: Accounts,
    throttle: RegistrationThrottle,
    request: Request,
    response: Response,
) -> User:
    """Make an account with the role of a customer, and have a mail sent to verify its address.

    No mail is sent if too many were sent to the address. Ask for one later.
    """
    address = limit_key(client_address(request))
    async with throttle.counted(email_key=email_key(body.email), address=address):
        account = await accounts.register(
            email=body.email, password=body.password, full_name=body.full_name, address=address
        )
    response.headers["Location"] = f"{router.prefix}/{account.id}"
    return User.model_validate(account)


@router.get(
    "/me",
    operation_id="readMe",
    versioned=True,
    responses=problems(AccountNotFound),
)
async def read_me(
    caller: Owner,
    accounts: Accounts,
) -> User:
    """Read the account that the access token stands for."""
    return User.model_validate(await accounts.get(caller.user_id))


@router.patch(
    "/me",
    operation_id="updateMe",
    versioned=True,
    responses=problems(
        AccountNotFound,
        LogInRequired,
        PreconditionFailed,
        ReauthenticationNeeded,
        TooManyRequests,
    ),
)
async def update_me(
    patch: Annotated[ProfilePatch, _MERGE_PATCH],
    caller: Owner,
    actor: OwnerActing,
    accounts: Accounts,
    changes: EmailChangesDep,
    expected: ExpectedVersion,
    request: Request,
) -> User:
    """Change one's own data, by JSON Merge Patch (RFC 7396).

    A new e-mail address takes effect when the token of the mail to it is confirmed
    (`POST /api/v1/email-verifications/confirm`). Until then the account keeps its present one.
    """
    if "email" in patch.model_fields_set:
        await changes.request(
            patch.email,
            by=actor,
            expected=expected,
            address=limit_key(client_address(request)),
        )
    full_name = patch.full_name if "full_name" in patch.model_fields_set else None
    account = await accounts.update_profile(caller.user_id, full_name=full_name, expected=expected)
    return User.model_validate(account)


@router.delete(
    "/me",
    status_code=204,
    operation_id="deleteMe",
    responses=problems(
        AccountNotFound, LastAdmin, LogInRequired, PreconditionFailed, ReauthenticationNeeded
    ),
)
async def delete_me(
    owner: OwnerActing,
    accounts: Accounts,
    expected: ExpectedVersion,
) -> None:
    """Delete one's own account, with all personal data; this can't be undone.

    The log-in must be at most 5 minutes ago. A refreshed access token has the time of its log-in,
    so log in again first. All log-in sessions and API keys end. The e-mail address can be
    registered again.
    """
    await accounts.delete(by=owner, expected=expected)


@router.get("", operation_id="listUsers")
async def list_users(
    query: Annotated[AccountQuery, Query()],
    _: Reader,
    accounts: Accounts,
    pages: Pages,
) -> Page[User]:
    """List the accounts, the newest first."""
    found = await accounts.page(query.page(TimePosition), only=query.filter())
    return pages.write(found, User.model_validate, query=query)


@router.get(
    "/{user_id}",
    operation_id="readUser",
    versioned=True,
    responses=problems(AccountNotFound),
)
async def read_user(
    user_id: UUID,
    _: Reader,
    accounts: Accounts,
) -> User:
    """Read an account."""
    return User.model_validate(await accounts.get(user_id))


@router.patch(
    "/{user_id}",
    operation_id="updateUser",
    versioned=True,
    responses=problems(AccountNotFound, LastAdmin, LogInRequired, PreconditionFailed),
)
async def update_user(
    user_id: UUID,
    patch: Annotated[AccountPatch, _MERGE_PATCH],
    actor: Administrator,
    accounts: Accounts,
    expected: ExpectedVersion,
) -> User:
    """Change the roles of an account, deactivate or reactivate it, by JSON Merge Patch (RFC 7396).

    Administrators only. A change of the roles and a deactivation end the account's log-in sessions,
    and its API keys with scopes that it no longer has. The last active administrator stays one.
    """
    account = await accounts.administer(
        user_id,
        roles=patch.roles if "roles" in patch.model_fields_set else None,
        is_active=patch.is_active if "is_active" in patch.model_fields_set else None,
        expected=expected,
        by=actor,
    )
    return User.model_validate(account)
