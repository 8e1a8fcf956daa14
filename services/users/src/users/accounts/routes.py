"""HTTP on accounts."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Query, Request, Response

from chassis.auth import CurrentPrincipal, Principal, require_scope
from chassis.errors import PreconditionFailed
from chassis.http import IfMatch, Page, PageQuery, Router, etag_of, page_of, problems
from chassis.http.concurrency import NOT_MODIFIED, IfNoneMatch, matches
from users.accounts.errors import AccountNotFound, EmailTaken
from users.accounts.models import Account
from users.accounts.schemas import ProfilePatch, Registration, RolesPatch, User
from users.wiring import Accounts

router = Router(prefix="/api/v1/users", tags=["accounts"])

_MERGE_PATCH = Body(media_type="application/merge-patch+json")

Reader = Annotated[Principal, require_scope("users:read")]
Writer = Annotated[Principal, require_scope("users:write")]


@router.post("", status_code=201, operation_id="registerUser", responses=problems(EmailTaken))
async def register(body: Registration, accounts: Accounts, response: Response) -> User:
    """Make an account with the role of a customer."""
    account = await accounts.register(
        email=body.email, password=body.password, full_name=body.full_name
    )
    response.headers["Location"] = f"{router.prefix}/{account.id}"
    return _shown(account, response)


@router.get(
    "/me",
    operation_id="readMe",
    response_model=User,
    responses={**problems(AccountNotFound), **NOT_MODIFIED},
)
async def read_me(
    caller: CurrentPrincipal,
    accounts: Accounts,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> User | Response:
    """Read the account that the access token stands for."""
    account = await accounts.get(caller.user_id)
    return _shown_unless_known(account, response, if_none_match)


@router.patch(
    "/me",
    operation_id="updateMe",
    responses=problems(AccountNotFound, PreconditionFailed),
)
async def update_me(
    patch: Annotated[ProfilePatch, _MERGE_PATCH],
    caller: CurrentPrincipal,
    accounts: Accounts,
    response: Response,
    if_match: IfMatch = None,
) -> User:
    """Change one's own data, by JSON Merge Patch (RFC 7396)."""
    full_name = patch.full_name if "full_name" in patch.model_fields_set else None
    account = await accounts.update_profile(caller.user_id, full_name=full_name, if_match=if_match)
    return _shown(account, response)


@router.get("", operation_id="listUsers")
async def list_users(
    query: Annotated[PageQuery, Query()],
    _: Reader,
    accounts: Accounts,
    request: Request,
    response: Response,
) -> Page[User]:
    """List the accounts, the newest first."""
    rows, next_cursor = await accounts.page(limit=query.limit, after=query.after())
    users = [User.model_validate(account) for account in rows]
    return page_of(users, next_cursor=next_cursor, request=request, response=response)


@router.get(
    "/{user_id}",
    operation_id="readUser",
    response_model=User,
    responses={**problems(AccountNotFound), **NOT_MODIFIED},
)
async def read_user(
    user_id: UUID,
    _: Reader,
    accounts: Accounts,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> User | Response:
    """Read an account."""
    return _shown_unless_known(await accounts.get(user_id), response, if_none_match)


@router.patch(
    "/{user_id}",
    operation_id="updateUser",
    responses=problems(AccountNotFound, PreconditionFailed),
)
async def update_user(
    user_id: UUID,
    patch: Annotated[RolesPatch, _MERGE_PATCH],
    _: Writer,
    accounts: Accounts,
    response: Response,
    if_match: IfMatch = None,
) -> User:
    """Give an account its roles, by JSON Merge Patch (RFC 7396); administrators only."""
    roles = patch.roles if "roles" in patch.model_fields_set else None
    account = await accounts.change_roles(user_id, roles=roles, if_match=if_match)
    return _shown(account, response)


def _shown(account: Account, response: Response) -> User:
    response.headers["ETag"] = etag_of(account.version)
    return User.model_validate(account)


def _shown_unless_known(
    account: Account, response: Response, if_none_match: str | None
) -> User | Response:
    if matches(if_none_match, account.version):
        return Response(status_code=304, headers={"ETag": etag_of(account.version)})
    return _shown(account, response)
