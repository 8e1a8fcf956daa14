"""HTTP routes of API keys: their owner's, and the exchange, which only the gateway calls."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.errors import Invalid, LogInRequired, ReauthenticationNeeded, Unauthenticated
from chassis.http import (
    Page,
    PageQuery,
    Pages,
    Router,
    acting_in_person,
    problems,
)
from chassis.http.caching import NO_STORE
from chassis.paging import TimePosition
from users.accounts.errors import AccountNotFound, EmailNotVerified
from users.api_keys.errors import ApiKeyNotFound, TooManyApiKeys
from users.api_keys.schemas import (
    ApiKeyProof,
    ApiKeyToken,
    ApiKeyView,
    CreatedApiKey,
    NewApiKey,
)
from users.api_keys.wiring import ApiKeys, Exchange

router = Router(prefix="/api/v1/api-keys", tags=["api-keys"])
# The gateway routes no path outside /api/v1 and /.well-known to this service.
internal = Router(tags=["api-keys"])

Caller = Annotated[Principal, require_scope("profile")]
Person = Annotated[Actor, acting_in_person("profile")]


@router.post(
    "",
    status_code=201,
    operation_id="createApiKey",
    responses=problems(
        Invalid,
        AccountNotFound,
        EmailNotVerified,
        TooManyApiKeys,
        LogInRequired,
        ReauthenticationNeeded,
    ),
)
async def create(
    body: NewApiKey, caller: Caller, person: Person, keys: ApiKeys, response: Response
) -> CreatedApiKey:
    """Create an API key with a part of one's own scopes, within 5 minutes of a log-in.

    The response contains the key. Store it: it can't be read again.
    """
    created = await keys.create(
        caller.user_id,
        name=body.name,
        scopes=body.scopes,
        granted=caller.scopes,
        expires_at=body.expires_at,
        by=person,
    )
    response.headers["Location"] = f"{router.prefix}/{created.key.id}"
    response.headers["Cache-Control"] = NO_STORE
    view = ApiKeyView.model_validate(created.key)
    return CreatedApiKey(**dict(view), api_key=created.secret)


@router.get("", operation_id="listApiKeys", responses=problems(LogInRequired))
async def list_keys(
    query: Annotated[PageQuery, Query()],
    caller: Caller,
    _: Person,
    keys: ApiKeys,
    pages: Pages,
) -> Page[ApiKeyView]:
    """List one's own API keys, the newest first. Ended ones stay in the list for 30 days."""
    found = await keys.page(caller.user_id, query.page(TimePosition))
    return pages.write(found, ApiKeyView.model_validate, query=query)


@router.get(
    "/{key_id}", operation_id="readApiKey", responses=problems(ApiKeyNotFound, LogInRequired)
)
async def read(key_id: UUID, caller: Caller, _: Person, keys: ApiKeys) -> ApiKeyView:
    """Read one of one's own API keys, without its secret."""
    return ApiKeyView.model_validate(await keys.get(key_id, owner_id=caller.user_id))


@router.delete(
    "/{key_id}",
    status_code=204,
    operation_id="revokeApiKey",
    responses=problems(ApiKeyNotFound, LogInRequired),
)
async def revoke(key_id: UUID, caller: Caller, person: Person, keys: ApiKeys) -> None:
    """Revoke one of one's own API keys. The gateway rejects it within a second."""
    await keys.revoke(key_id, owner_id=caller.user_id, by=person)


@internal.post(
    "/api-key-exchanges", operation_id="exchangeApiKey", responses=problems(Unauthenticated)
)
async def exchange(body: ApiKeyProof, keys: Exchange, response: Response) -> ApiKeyToken:
    """Exchange an API key for an access token. Only the gateway calls this."""
    response.headers["Cache-Control"] = NO_STORE
    return ApiKeyToken(access_token=await keys.exchange(body.api_key))
