"""API keys, with which programs act for a user."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import Field

from client.calls import Calls, params_of
from client.shapes import Answer, Page
from client.tokens import Token


class ApiKey(Answer):
    """An API key without its secret. `prefix` is its visible beginning."""

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class CreatedApiKey(ApiKey):
    """A new API key. Pass `api_key` in place of an access token; it can't be read again."""

    api_key: str = Field(repr=False)


class ApiKeyCalls(Calls):
    """The calls that concern API keys."""

    async def create_api_key(
        self,
        token: Token,
        *,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None = None,
    ) -> CreatedApiKey:
        """Create an API key with some of the caller's scopes; return it with its secret.

        `token` belongs to a log-in session. Without `expires_at` the key expires in 90 days.
        """
        expiry = {} if expires_at is None else {"expires_at": expires_at.isoformat()}
        body = {"name": name, "scopes": list(scopes)} | expiry
        return await self.call(CreatedApiKey, "POST", "/api-keys", token=token, json=body)

    async def list_api_keys(
        self, token: Token, *, limit: int = 20, cursor: str | None = None
    ) -> Page[ApiKey]:
        """Return one page of the caller's API keys, newest first."""
        params = params_of(limit=limit, cursor=cursor)
        return await self.call(Page[ApiKey], "GET", "/api-keys", token=token, params=params)

    async def get_api_key(self, token: Token, key_id: UUID) -> ApiKey:
        """Return an API key of the caller."""
        return await self.call(ApiKey, "GET", f"/api-keys/{key_id}", token=token)

    async def revoke_api_key(self, token: Token, key_id: UUID) -> None:
        """Revoke an API key of the caller."""
        await self.send("DELETE", f"/api-keys/{key_id}", token=token)
