"""The calls of the public API, one method each, with typed answers."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from client.errors import AnswerError, ProblemError
from client.feed import Feed
from client.models import (
    NewOrder,
    NewProduct,
    Notification,
    Order,
    Page,
    Product,
    Tokens,
    User,
)

_BASE = "/api/v1"


class SlipwayClient:
    """An async client of one gateway. Use it as an async context manager.

    A refused call raises `ProblemError`; an unreachable gateway raises httpx's own errors.

    Args:
        base_url: the gateway's address, without `/api/v1`.
        timeout: seconds for each step of a call.
        trust_env: whether proxies from the environment are used.
        transport: another way to the server, e.g. `httpx.ASGITransport` in a test.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 10.0,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._trust_env = trust_env
        self._http = httpx.AsyncClient(
            base_url=self._base_url, timeout=timeout, trust_env=trust_env, transport=transport
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def register(self, *, email: str, password: str, full_name: str) -> User:
        """Make an account with the role of a customer."""
        body = {"email": email, "password": password, "full_name": full_name}
        return await self._call(User, "POST", "/users", json=body)

    async def login(self, *, email: str, password: str) -> Tokens:
        """Open a session."""
        body = {"email": email, "password": password}
        return await self._call(Tokens, "POST", "/auth/login", json=body)

    async def me(self, token: str) -> User:
        """The account that a token stands for."""
        return await self._call(User, "GET", "/users/me", headers=_bearer(token))

    async def update_user_roles(self, token: str, user_id: UUID, roles: tuple[str, ...]) -> User:
        """Give an account these roles and no others (admins only)."""
        headers = _bearer(token) | {"Content-Type": "application/merge-patch+json"}
        path = f"/users/{user_id}"
        return await self._call(User, "PATCH", path, headers=headers, json={"roles": list(roles)})

    async def list_products(
        self, *, q: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> Page[Product]:
        """One page of the catalogue, which is public."""
        return await self._call(
            Page[Product], "GET", "/products", params=_params(q=q, limit=limit, cursor=cursor)
        )

    async def create_product(self, token: str, product: NewProduct) -> Product:
        """Add a product (scope `catalog:write`)."""
        body = product.model_dump(mode="json")
        return await self._call(Product, "POST", "/products", headers=_bearer(token), json=body)

    async def place_order(
        self,
        token: str,
        order: NewOrder,
        *,
        idempotency_key: str,
        headers: Mapping[str, str] | None = None,
    ) -> Order:
        """Place an order; the same key again answers the same order.

        Args:
            token: the customer's access token.
            order: what is ordered, and where it goes.
            idempotency_key: a key of the caller's own for this order.
            headers: further headers, e.g. `traceparent`.
        """
        sent = {**(headers or {}), **_bearer(token), "Idempotency-Key": idempotency_key}
        body = order.model_dump(mode="json", exclude_none=True)
        return await self._call(Order, "POST", "/orders", headers=sent, json=body)

    async def get_order(self, token: str, order_id: UUID) -> Order:
        """An order in its present state."""
        return await self._call(Order, "GET", f"/orders/{order_id}", headers=_bearer(token))

    async def list_notifications(
        self,
        token: str,
        *,
        unread: bool | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Notification]:
        """One page of the user's notifications, the newest first."""
        params = _params(unread=unread, limit=limit, cursor=cursor)
        return await self._call(
            Page[Notification], "GET", "/notifications", headers=_bearer(token), params=params
        )

    def feed(self, token: str, last_event_id: int | None = None) -> Feed:
        """The user's live feed; it connects when it is entered with `async with`."""
        return Feed(
            url=f"ws{self._base_url.removeprefix('http')}{_BASE}/notifications/ws",
            token=token,
            last_event_id=last_event_id,
            timeout=self._timeout,
            trust_env=self._trust_env,
        )

    async def _call[Answer: BaseModel](
        self,
        shape: type[Answer],
        method: str,
        path: str,
        **request: Any,  # noqa: ANN401  # passed on to httpx, whose own types are private
    ) -> Answer:
        response = await self._http.request(method, _BASE + path, **request)
        if not response.is_success:
            problem = ProblemError.of(response)
            raise problem or AnswerError(response, "sent no problem document")
        try:
            return shape.model_validate_json(response.content)
        except ValidationError as error:
            reason = f"not with a {shape.__name__} ({error.error_count()} fields differ)"
            raise AnswerError(response, reason) from error


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _params(**values: str | int | bool | None) -> dict[str, str | int | bool]:
    return {name: value for name, value in values.items() if value is not None}
