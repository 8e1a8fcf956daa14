"""The calls of the public API: one method for each, with typed responses."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from client.calls import BASE, MERGE_PATCH, bearer, if_match, params_of
from client.feed import Feed
from client.identity import IdentityCalls
from client.models import (
    CountedPage,
    History,
    HistoryEntry,
    NewOrder,
    NewProduct,
    NewTransition,
    Notification,
    Order,
    Page,
    Product,
    ProductChanges,
    StockAdjustment,
    TransitionResult,
    TransitionResults,
)


class SlipwayClient(IdentityCalls):
    """An async client of one gateway. Use it as an async context manager.

    A call raises `ProblemError` if the API rejects it, `AnswerError` if the response is not one of
    the API's, and httpx's own errors if the gateway is unreachable.

    Args:
        base_url: the gateway's address, without `/api/v1`.
        timeout: seconds for each step of a call.
        trust_env: whether to use the proxies that the environment names. The client always
            connects directly to a gateway on this machine, since a proxy can't reach it.
        transport: replaces httpx's transport, e.g. by `httpx.ASGITransport` in a test.
    """

    async def list_products(
        self, *, q: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> Page[Product]:
        """Return one page of the catalogue. The catalogue is public: it needs no token.

        Args:
            q: only products with all these words in their name or SKU, or with words that begin so.
            limit: the size of the page.
            cursor: `next_cursor` of the page before.
        """
        return await self.call(
            Page[Product], "GET", "/products", params=params_of(q=q, limit=limit, cursor=cursor)
        )

    async def create_product(self, token: str, product: NewProduct) -> Product:
        """Create a product and return it (scope `catalog:write`)."""
        body = product.model_dump(mode="json", exclude_unset=True)
        return await self.call(Product, "POST", "/products", headers=bearer(token), json=body)

    async def get_product(self, product_id: UUID) -> Product:
        """Return a product, also an inactive one. It needs no token."""
        return await self.call(Product, "GET", f"/products/{product_id}")

    async def update_product(
        self,
        token: str,
        product_id: UUID,
        changes: ProductChanges,
        *,
        version: int | None = None,
    ) -> Product:
        """Change a product and return it (scope `catalog:write`).

        Args:
            token: the access token.
            product_id: the product.
            changes: only the fields that are set are sent.
            version: change only if this is still the product's version; None: in any case.
        """
        headers = bearer(token) | MERGE_PATCH | if_match(version)
        body = changes.model_dump(mode="json", exclude_unset=True)
        path = f"/products/{product_id}"
        return await self.call(Product, "PATCH", path, headers=headers, json=body)

    async def set_stock(
        self,
        token: str,
        product_id: UUID,
        *,
        stock: int,
        reason: str,
        version: int | None = None,
    ) -> Product:
        """Set how many of a product can still be sold, and return it (scope `catalog:write`).

        Pass `version`, or orders since the count are lost; see `update_product`.
        """
        headers = bearer(token) | if_match(version)
        body = {"stock": stock, "reason": reason}
        path = f"/products/{product_id}/stock"
        return await self.call(Product, "PUT", path, headers=headers, json=body)

    async def adjust_stock(
        self,
        token: str,
        product_id: UUID,
        *,
        delta: int,
        reason: str,
        idempotency_key: str | None = None,
    ) -> StockAdjustment:
        """Add `delta` to the stock of a product (scope `catalog:write`).

        With an `idempotency_key` the call can be repeated: it takes effect once.
        """
        key = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        path = f"/products/{product_id}/stock-adjustments"
        body = {"delta": delta, "reason": reason}
        return await self.call(
            StockAdjustment, "POST", path, headers=bearer(token) | key, json=body
        )

    async def list_stock_adjustments(
        self, token: str, product_id: UUID, *, limit: int = 20, cursor: str | None = None
    ) -> Page[StockAdjustment]:
        """Return one page of a product's adjustments, newest first (scope `catalog:write`)."""
        return await self.call(
            Page[StockAdjustment],
            "GET",
            f"/products/{product_id}/stock-adjustments",
            headers=bearer(token),
            params=params_of(limit=limit, cursor=cursor),
        )

    async def place_order(
        self,
        token: str,
        order: NewOrder,
        *,
        idempotency_key: str,
        headers: Mapping[str, str] | None = None,
    ) -> Order:
        """Place an order and return it. A repeated key returns the order of the first call.

        Args:
            token: the customer's access token.
            order: the items and the shipping address.
            idempotency_key: a key that the caller chooses for this order.
            headers: further headers, e.g. `traceparent`.
        """
        sent = {**(headers or {}), **bearer(token), "Idempotency-Key": idempotency_key}
        body = order.model_dump(mode="json", exclude_none=True)
        return await self.call(Order, "POST", "/orders", headers=sent, json=body)

    async def get_order(self, token: str, order_id: UUID) -> Order:
        """Return an order in its present state."""
        return await self.call(Order, "GET", f"/orders/{order_id}", headers=bearer(token))

    async def list_orders(
        self,
        token: str,
        *,
        status: str | None = None,
        customer_id: UUID | None = None,
        total: bool = False,
        limit: int = 20,
        cursor: str | None = None,
    ) -> CountedPage[Order]:
        """Return one page of the caller's orders, newest first (`orders:read-all`: of all orders).

        Args:
            token: the access token.
            status: only orders with this status.
            customer_id: only orders of this customer.
            total: whether to count the orders on all pages; only then the page has a `total`.
            limit: the size of the page.
            cursor: `next_cursor` of the page before.
        """
        customer = None if customer_id is None else str(customer_id)
        params = params_of(
            status=status, customer_id=customer, total=total or None, limit=limit, cursor=cursor
        )
        return await self.call(
            CountedPage[Order], "GET", "/orders", headers=bearer(token), params=params
        )

    async def cancel_order(
        self, token: str, order_id: UUID, *, reason: str | None = None, version: int | None = None
    ) -> Order:
        """Cancel an order that is not shipped, and return it; its stock can be sold again.

        The arguments of every transition:

        Args:
            token: the access token.
            order_id: the order.
            reason: why; the order's history keeps it.
            version: change only if this is still the order's version; None: in any case.
        """
        return await self._advance(token, order_id, "cancel", reason=reason, version=version)

    async def confirm_order(
        self, token: str, order_id: UUID, *, reason: str | None = None, version: int | None = None
    ) -> Order:
        """Confirm a placed order, and return it (scope `orders:fulfil`)."""
        return await self._advance(token, order_id, "confirm", reason=reason, version=version)

    async def ship_order(
        self, token: str, order_id: UUID, *, reason: str | None = None, version: int | None = None
    ) -> Order:
        """Ship a confirmed order, and return it (scope `orders:fulfil`)."""
        return await self._advance(token, order_id, "ship", reason=reason, version=version)

    async def deliver_order(
        self, token: str, order_id: UUID, *, reason: str | None = None, version: int | None = None
    ) -> Order:
        """Record that a shipped order was delivered, and return it (scope `orders:fulfil`)."""
        return await self._advance(token, order_id, "deliver", reason=reason, version=version)

    async def refund_order(
        self, token: str, order_id: UUID, *, reason: str | None = None, version: int | None = None
    ) -> Order:
        """Refund a delivered order, and return it (scope `orders:fulfil`)."""
        return await self._advance(token, order_id, "refund", reason=reason, version=version)

    async def transition_orders(
        self, token: str, transitions: Sequence[NewTransition]
    ) -> tuple[TransitionResult, ...]:
        """Change the status of up to 100 orders; return a result for each (scope `orders:fulfil`).

        An order that can't be changed has an `error` in its result. The others are changed.
        """
        items = [item.model_dump(mode="json", exclude_none=True) for item in transitions]
        path = "/orders/transitions"
        results = await self.call(
            TransitionResults, "POST", path, headers=bearer(token), json={"items": items}
        )
        return results.items

    async def order_history(self, token: str, order_id: UUID) -> tuple[HistoryEntry, ...]:
        """Return who changed the status of an order, when and why; the oldest change first."""
        path = f"/orders/{order_id}/history"
        return (await self.call(History, "GET", path, headers=bearer(token))).items

    async def list_notifications(
        self,
        token: str,
        *,
        unread: bool | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Notification]:
        """Return one page of the user's notifications, newest first."""
        params = params_of(unread=unread, limit=limit, cursor=cursor)
        return await self.call(
            Page[Notification], "GET", "/notifications", headers=bearer(token), params=params
        )

    def feed(self, token: str, last_event_id: int | None = None) -> Feed:
        """Return the user's live feed. It connects when `async with` enters it."""
        return Feed(
            url=f"ws{self._base_url.removeprefix('http')}{BASE}/notifications/ws",
            token=token,
            last_event_id=last_event_id,
            timeout=self._timeout,
            trust_env=self._trust_env,
        )

    async def _advance(
        self, token: str, order_id: UUID, verb: str, *, reason: str | None, version: int | None
    ) -> Order:
        body = None if reason is None else {"reason": reason}
        path = f"/orders/{order_id}/{verb}"
        headers = bearer(token) | if_match(version)
        return await self.call(Order, "POST", path, headers=headers, json=body)
