"""The calls that concern accounts, log-in sessions and API keys."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from client.calls import MERGE_PATCH, Calls, bearer, params_of
from client.models import ApiKey, CreatedApiKey, Export, Page, Tokens, User


class IdentityCalls(Calls):
    """Registration, log-in, one's own account, and the accounts of others for administrators."""

    async def register(self, *, email: str, password: str, full_name: str) -> User:
        """Create an account with the role of a customer, and return it."""
        body = {"email": email, "password": password, "full_name": full_name}
        return await self.call(User, "POST", "/users", json=body)

    async def login(self, *, email: str, password: str, totp: str | None = None) -> Tokens:
        """Open a log-in session and return its tokens.

        Args:
            email: the account's address.
            password: the account's password.
            totp: if TOTP is on, a code of the authenticator app, or a recovery code.
        """
        body = {"email": email, "password": password}
        if totp is not None:
            body["totp"] = totp
        return await self.call(Tokens, "POST", "/auth/login", json=body)

    async def refresh(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token for new tokens; AnswerError if it is rejected (RFC 6749)."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.call(Tokens, "POST", "/auth/token", data=form)

    async def revoke(self, token: str) -> None:
        """Log out: end the session of an access token or a refresh token."""
        await self.send("POST", "/auth/revoke", data={"token": token})

    async def me(self, token: str) -> User:
        """Return the account that a token belongs to."""
        return await self.call(User, "GET", "/users/me", headers=bearer(token))

    async def export_me(self, token: str) -> Export:
        """Return all data that the system holds of the user that a token belongs to."""
        return await self.call(Export, "GET", "/users/me/export", headers=bearer(token))

    async def change_password(self, token: str, *, current: str, new: str) -> None:
        """Replace one's own password. All other log-in sessions end."""
        body = {"current_password": current, "new_password": new}
        await self.send("PUT", "/users/me/password", headers=bearer(token), json=body)

    async def delete_me(self, token: str) -> None:
        """Delete one's own account. The log-in of the token must be at most 5 minutes ago."""
        await self.send("DELETE", "/users/me", headers=bearer(token))

    async def set_user_active(self, token: str, user_id: UUID, *, active: bool) -> User:
        """Reactivate or deactivate an account, and return it (admins only)."""
        headers = bearer(token) | MERGE_PATCH
        path = f"/users/{user_id}"
        return await self.call(User, "PATCH", path, headers=headers, json={"is_active": active})

    async def update_user_roles(self, token: str, user_id: UUID, roles: tuple[str, ...]) -> User:
        """Replace the roles of an account, and return the account (admins only)."""
        headers = bearer(token) | MERGE_PATCH
        path = f"/users/{user_id}"
        return await self.call(User, "PATCH", path, headers=headers, json={"roles": list(roles)})

    async def create_api_key(
        self, token: str, *, name: str, scopes: Sequence[str], expires_at: datetime | None = None
    ) -> CreatedApiKey:
        """Create an API key with some of the caller's scopes; return it with its secret.

        `token` belongs to a log-in session. Without `expires_at` the key expires in 90 days.
        """
        expiry = {} if expires_at is None else {"expires_at": expires_at.isoformat()}
        body = {"name": name, "scopes": list(scopes)} | expiry
        headers = bearer(token)
        return await self.call(CreatedApiKey, "POST", "/api-keys", headers=headers, json=body)

    async def list_api_keys(
        self, token: str, *, limit: int = 20, cursor: str | None = None
    ) -> Page[ApiKey]:
        """Return one page of the caller's API keys, newest first."""
        asked = {"headers": bearer(token), "params": params_of(limit=limit, cursor=cursor)}
        return await self.call(Page[ApiKey], "GET", "/api-keys", **asked)

    async def revoke_api_key(self, token: str, key_id: UUID) -> None:
        """Revoke an API key of the caller."""
        await self.send("DELETE", f"/api-keys/{key_id}", headers=bearer(token))
