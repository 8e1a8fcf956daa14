"""Whatever people do with orders and stock, in any order, no piece is created or lost.

A state machine sends requests, and a model of a few lines says what each must answer. After each
request, SQL counts the pieces.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from testkit.problems import problem_kind

from .conftest import ORDERS, PRODUCTS, body_of, keyed

# Said anew, so that an error in the service's table is not repeated here.
ALLOWED = {
    ("placed", "confirmed"),
    ("confirmed", "shipped"),
    ("shipped", "delivered"),
    ("delivered", "refunded"),
    ("placed", "cancelled"),
    ("confirmed", "cancelled"),
}
VERBS = {
    "confirmed": "confirm",
    "shipped": "ship",
    "delivered": "deliver",
    "cancelled": "cancel",
    "refunded": "refund",
}
TARGETS = st.sampled_from(sorted(VERBS))
# Initial stock and adjustments = stock + the lines of all orders that are not cancelled.
PIECES = """
    SELECT p.id, p.stock, coalesce(given.pieces, 0) - coalesce(sold.pieces, 0) AS expected,
        p.version - (SELECT count(*) FROM outbox WHERE key = p.id::text) AS unannounced
    FROM products AS p
    LEFT JOIN (
        SELECT product_id, sum(delta) AS pieces FROM stock_adjustments GROUP BY 1
    ) AS given ON given.product_id = p.id
    LEFT JOIN (
        SELECT l.product_id, sum(l.quantity) AS pieces
        FROM order_lines AS l JOIN orders AS o ON o.id = l.order_id
        WHERE o.status <> 'cancelled' GROUP BY 1
    ) AS sold ON sold.product_id = p.id
    WHERE p.id = ANY($1::uuid[])
"""
TRACES = """
    SELECT o.id, o.status, o.version,
        (SELECT array_agg(h.status ORDER BY h.version) FROM order_history AS h
            WHERE h.order_id = o.id) AS history,
        (SELECT array_agg((b.headers->>'ce_sequence')::int ORDER BY b.seq) FROM outbox AS b
            WHERE b.key = o.id::text) AS announced
    FROM orders AS o WHERE o.id = ANY($1::uuid[])
"""


@dataclass
class Placed:
    """What the model knows of an order."""

    id: str
    lines: Counter[str]
    key: str
    answer: bytes
    status: str = "placed"
    past: list[str] = field(default_factory=lambda: ["placed"])

    def move(self, to: str) -> None:
        self.status = to
        self.past.append(to)


@dataclass(frozen=True)
class Place:
    """Where the machine runs: its requests and queries belong to the test's event loop."""

    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    db: asyncpg.Connection
    clerk: dict[str, str]
    support: dict[str, str]
    customer: dict[str, str]
    stranger: dict[str, str]

    def wait[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=60)


class Shop(RuleBasedStateMachine):
    """Products and orders; ``place`` is set by the test."""

    place: ClassVar[Place]
    products = Bundle("products")
    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.stock: dict[str, int] = {}
        self.known: list[Placed] = []

    def post(
        self, path: str, body: object, headers: dict[str, str], key: str | None = None
    ) -> httpx.Response:
        return self.place.wait(self.place.client.post(path, json=body, headers=keyed(headers, key)))

    @rule(target=products, stock=st.integers(0, 12))
    def create(self, stock):
        body = {
            "sku": uuid4().hex,
            "name": "Rope",
            "description": "",
            "price": {"amount": 100, "currency": "EUR"},
            "stock": stock,
        }
        answer = self.post(PRODUCTS, body, self.place.clerk)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        self.stock[made] = stock
        return made

    @rule(
        target=orders,
        lines=st.lists(st.tuples(products, st.integers(1, 6)), min_size=1, max_size=3),
    )
    def buy(self, lines):
        wanted = dict(lines)
        key = uuid4().hex
        answer = self.post(ORDERS, body_of(*wanted.items()), self.place.customer, key)
        if any(self.stock[product] < quantity for product, quantity in wanted.items()):
            assert (answer.status_code, problem_kind(answer)) == (409, "out-of-stock")
            short = [one for one, quantity in wanted.items() if self.stock[one] < quantity]
            assert len(answer.json()["errors"]) == len(short)
            return multiple()
        assert answer.status_code == 201, answer.text
        order = Placed(answer.json()["id"], Counter(wanted), key, answer.content)
        for product, quantity in wanted.items():
            self.stock[product] -= quantity
        self.known.append(order)
        return order

    @rule(order=orders)
    def repeat(self, order):
        body = body_of(*order.lines.items())
        answer = self.post(ORDERS, body, self.place.customer, order.key)
        assert (answer.status_code, answer.content) == (201, order.answer)

    @rule(order=orders, to=TARGETS)
    def advance(self, order, to):
        path = f"{ORDERS}/{order.id}/{VERBS[to]}"
        answer = self.post(path, None, self.place.support)
        if (order.status, to) in ALLOWED:
            assert (answer.status_code, answer.json()["status"]) == (200, to), answer.text
            self._moved(order, to)
        else:
            assert (answer.status_code, problem_kind(answer)) == (409, "invalid-transition")

    @rule(order=orders)
    def cancel_as_a_stranger(self, order):
        answer = self.post(f"{ORDERS}/{order.id}/cancel", None, self.place.stranger)
        assert (answer.status_code, problem_kind(answer)) == (404, "order-not-found")

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def advance_many(self, data):
        chosen = data.draw(st.lists(st.sampled_from(self.known), min_size=1, unique_by=id))
        wanted = [(order, data.draw(TARGETS)) for order in chosen]
        items = [{"order_id": order.id, "to": to} for order, to in wanted]
        answer = self.post(f"{ORDERS}/transitions", {"items": items}, self.place.support)
        assert answer.status_code == 200, answer.text
        for (order, to), result in zip(wanted, answer.json()["items"], strict=True):
            assert (result["error"] is None) == ((order.status, to) in ALLOWED), result
            if result["error"] is None:
                self._moved(order, to)

    @rule(product=products, delta=st.integers(-8, 8).filter(bool))
    def adjust(self, product, delta):
        path = f"{PRODUCTS}/{product}/stock-adjustments"
        answer = self.post(path, {"delta": delta, "reason": "counted"}, self.place.clerk)
        enough = self.stock[product] + delta >= 0
        assert answer.status_code == (201 if enough else 409), answer.text
        if enough:
            self.stock[product] += delta

    @rule(product=products, stock=st.integers(0, 12))
    def count(self, product, stock):
        answer = self.place.wait(
            self.place.client.put(
                f"{PRODUCTS}/{product}/stock",
                json={"stock": stock, "reason": "counted"},
                headers=self.place.clerk,
            )
        )
        assert answer.status_code == 200, answer.text
        self.stock[product] = stock

    @invariant()
    def no_piece_is_created_or_lost(self):
        rows = self.place.wait(self.place.db.fetch(PIECES, list(self.stock)))
        found = {str(row["id"]): (row["stock"], row["expected"]) for row in rows}
        assert found == {one: (stock, stock) for one, stock in self.stock.items()}
        assert [row["unannounced"] for row in rows] == [0] * len(rows)

    @invariant()
    def each_change_of_an_order_is_in_its_history_and_announced_once(self):
        rows = self.place.wait(self.place.db.fetch(TRACES, [one.id for one in self.known]))
        found = {str(row["id"]): row for row in rows}
        for order in self.known:
            row, count = found[order.id], len(order.past)
            assert (row["status"], row["version"]) == (order.status, count)
            assert row["history"] == order.past
            assert row["announced"] == list(range(1, count + 1))

    def _moved(self, order: Placed, to: str) -> None:
        order.move(to)
        if to == "cancelled":
            for product, quantity in order.lines.items():
                self.stock[product] += quantity


@pytest.mark.timeout(600)
async def test_no_piece_is_created_or_lost_whatever_happens(client, db, tokens, caller):
    class Here(Shop):
        place = Place(
            loop=asyncio.get_running_loop(),
            client=client,
            db=db,
            clerk=tokens.headers(scopes=["catalog:write"]),
            support=tokens.headers(scopes=["orders:read", "orders:write", "orders:fulfil"]),
            customer=caller(),
            stranger=caller(),
        )

    await asyncio.to_thread(
        run_state_machine_as_test,
        Here,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
