"""The caller of generated requests: an account with every kind of thing that a path can name."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import httpx

from client import Money, NewItem, NewOrder, NewProduct, SlipwayClient
from slipway.local.system import System
from slipway.operate.seed import DEMO_PASSWORD

from .conftest import ADDRESS, PASSWORD
from .test_mail import verify_address

# Their tokens, or their accounts, do not survive these operations.
ENDING = {"deleteMe", "changePassword", "endAllSessions", "updateMe", "revokeToken"}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An account, and what exists for it.

    Attributes:
        url: of the gateway.
        email: the account's address.
        known: for parameters of paths, the id of something that exists.
    """

    url: str
    email: str
    known: Mapping[str, str]

    def fields(self, operation: str) -> dict[str, str]:
        """Return the fields of an operation's requests, with a token that is new.

        All requests together may take longer than the lifetime of a token. An operation that ends
        the token has another account.
        """
        token = asyncio.run(self._token(operation))  # in a thread of its own, without a loop
        return {"Authorization": f"Bearer {token}"}

    async def _token(self, operation: str) -> str:
        async with SlipwayClient(self.url) as client:
            if operation in ENDING:
                return (await account(client))[1]
            return (await client.login(email=self.email, password=PASSWORD)).access_token


async def account(client: SlipwayClient, *, email: str | None = None) -> tuple[str, str]:
    """Register an account; return its address and an access token."""
    email = email or f"{uuid.uuid4().hex}@example.com"
    await client.register(email=email, password=PASSWORD, full_name="Ada Lovelace")
    tokens = await client.login(email=email, password=PASSWORD)
    return email, tokens.access_token


async def product_for_all(client: SlipwayClient) -> str:
    """Create a product that is never out of stock; return its id."""
    admin = await client.login(email="admin@example.com", password=DEMO_PASSWORD)
    product = await client.create_product(
        admin.access_token,
        NewProduct(
            sku=uuid.uuid4().hex,
            name="Rope",
            description="",
            price=Money(amount=1, currency="EUR"),
            stock=1_000_000,
        ),
    )
    return str(product.id)


async def caller(system: System, *, roles: tuple[str, ...]) -> Caller:
    """Make an account with these roles, and what the paths of its requests can name."""
    url = system.gateway_url
    async with (
        SlipwayClient(url) as client,
        httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as http,
    ):
        email, token = await account(client)
        await verify_address(system, client, email)  # first: a deployed system skips here
        admin = await client.login(email="admin@example.com", password=DEMO_PASSWORD)
        me = await client.me(token)
        await client.update_user_roles(admin.access_token, me.id, roles)
        # Two sessions: a request may end one of them.
        for _ in range(2):
            token = (await client.login(email=email, password=PASSWORD)).access_token
        other = await client.me((await account(client))[1])
        product = await product_for_all(client)
        order = await client.place_order(
            token,
            NewOrder(
                items=[NewItem(product_id=UUID(product), quantity=1)], shipping_address=ADDRESS
            ),
        )
        fields = {"Authorization": f"Bearer {token}"}

        async def made(path: str, body: object) -> str:
            answer = await http.post(path, json=body, headers=fields)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        sessions = (await http.get("/auth/sessions", headers=fields)).json()["items"]
        known = {
            "user_id": str(other.id),
            "product_id": product,
            "order_id": str(order.id),
            "key_id": await made("/api-keys", {"name": "x", "scopes": ["profile"]}),
            "webhook_id": await made(
                "/webhooks", {"url": "https://hooks.example.com/slipway", "types": []}
            ),
            "session_id": next(one["id"] for one in sessions if not one["current"]),
        }
    return Caller(url=url, email=email, known=known)
