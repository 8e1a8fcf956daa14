"""Accounts: one's own, and those of others for administrators."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import RootModel

from client.calls import MERGE_PATCH, Calls, if_match, params_of
from client.shapes import Answer, Known, Page
from client.tokens import Token


class Role(StrEnum):
    """What an account may do: a customer for themselves, support and admins for all."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    ADMIN = "admin"


class User(Answer):
    """An account as its owner or an admin sees it."""

    id: UUID
    email: str
    full_name: str
    roles: tuple[Known[Role], ...]
    is_active: bool
    email_verified: bool
    version: int
    created_at: datetime
    updated_at: datetime


class Export(RootModel[dict[str, dict[str, list[dict[str, Any]]]]]):
    """All data of a user: by service, and by the name of a list."""


class AccountCalls(Calls):
    """The calls that concern accounts."""

    async def register(self, *, email: str, password: str, full_name: str) -> User:
        """Create an account with the role of a customer, and return it."""
        body = {"email": email, "password": password, "full_name": full_name}
        return await self.call(User, "POST", "/users", json=body)

    async def me(self, token: Token) -> User:
        """Return the account that a token belongs to."""
        return await self.call(User, "GET", "/users/me", token=token)

    async def update_me(
        self,
        token: Token,
        *,
        full_name: str | None = None,
        email: str | None = None,
        version: int | None = None,
    ) -> User:
        """Change one's own account, and return it. What is None stays as it is.

        A new address takes effect when the mail to it is confirmed.
        """
        headers = MERGE_PATCH | if_match(version)
        body = params_of(full_name=full_name, email=email)
        return await self.call(User, "PATCH", "/users/me", token=token, headers=headers, json=body)

    async def export_me(self, token: Token) -> Export:
        """Return all data that the system holds of the user that a token belongs to."""
        return await self.call(Export, "GET", "/users/me/export", token=token)

    async def delete_me(self, token: Token, *, version: int | None = None) -> None:
        """Delete one's own account. The log-in of the token must be at most 5 minutes ago."""
        await self.send("DELETE", "/users/me", token=token, headers=if_match(version))

    async def list_users(
        self,
        token: Token,
        *,
        q: str | None = None,
        role: Role | str | None = None,
        is_active: bool | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[User]:
        """Return one page of all accounts (admins only); see the API's document for the filters."""
        params = params_of(
            q=q,
            role=role,
            is_active=is_active,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
            cursor=cursor,
        )
        return await self.call(Page[User], "GET", "/users", token=token, params=params)

    async def get_user(self, token: Token, user_id: UUID) -> User:
        """Return an account (admins only)."""
        return await self.call(User, "GET", f"/users/{user_id}", token=token)

    async def set_user_active(
        self, token: Token, user_id: UUID, *, active: bool, version: int | None = None
    ) -> User:
        """Reactivate or deactivate an account, and return it (admins only)."""
        return await self._change(token, user_id, version, {"is_active": active})

    async def update_user_roles(
        self,
        token: Token,
        user_id: UUID,
        roles: Sequence[Role | str],
        *,
        version: int | None = None,
    ) -> User:
        """Replace the roles of an account, and return the account (admins only)."""
        return await self._change(token, user_id, version, {"roles": list(roles)})

    async def _change(
        self, token: Token, user_id: UUID, version: int | None, body: dict[str, Any]
    ) -> User:
        headers = MERGE_PATCH | if_match(version)
        path = f"/users/{user_id}"
        return await self.call(User, "PATCH", path, token=token, headers=headers, json=body)
