"""Customers: they browse, order, follow their feed and read their lists."""

import itertools
import random
import time
import uuid
from collections import deque
from contextlib import suppress

from api import PACE, ApiUser
from feed import Feed, FeedError
from locust import constant_throughput, task
from locust.exception import RescheduleTask
from outcomes import OUTCOMES
from sockets import Socket
from streams import Stream

PLACED: deque[str] = deque(maxlen=10_000)
"""Orders that the warehouse may confirm and ship."""

_FEEDS = itertools.cycle((Socket, Socket, Socket, Stream))
_WORDS = ("rope", "anchor", "lantern", "compass", "oar", "chart", "brass", "load")
_ADDRESS = {
    "name": "Lotte Load",
    "line1": "Harbour Road 2",
    "city": "Kiel",
    "postal_code": "24103",
    "country": "DE",
}
_PAGE = """
query Page($first: Int!) {
  me { fullName }
  orders(first: $first) { nodes { id status total { amount currency } items { name quantity } } }
  unreadCount
}
"""


class Customer(ApiUser):
    """One customer: a step at a time, at a steady pace. Weights are per hundred steps."""

    _pace = constant_throughput(PACE)

    def wait_time(self) -> float:
        """Return the seconds until the next step, and count this one."""
        OUTCOMES.step()
        seconds: float = self._pace()
        return seconds

    def on_start(self) -> None:
        """Come as a new customer, and order at once: so even a short run sees each kind of push."""
        self._orders: deque[str] = deque(maxlen=20)
        self._feed: Feed | None = None
        self._arrive()
        with suppress(RescheduleTask):  # it was counted
            self.order()

    def on_stop(self) -> None:
        """Wait for the last pushes."""
        self._leave()

    @task(24)
    def browse(self) -> None:
        """Read a page of the catalogue, then a product."""
        page = self.ask("GET", "/products?limit=20", "catalogue")
        product = random.choice(page["items"])  # noqa: S311 - spreads the load
        self.ask("GET", f"/products/{product['id']}", "product")

    @task(15)
    def search(self) -> None:
        """Search the catalogue by a word."""
        self.ask("GET", f"/products?q={random.choice(_WORDS)}", "search")  # noqa: S311 - likewise

    @task(12)
    def order(self) -> None:
        """Place an order, and expect its push."""
        self._keep_session()
        products = self.ask("GET", "/products?q=load&limit=20", "search")["items"]
        body = {
            "items": [
                {"product_id": product["id"], "quantity": 1}
                for product in random.sample(products, 2)
            ],
            "shipping_address": _ADDRESS,
        }
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        sent_at = time.perf_counter()
        placed = self.ask("POST", "/orders", "place order", json=body, headers=headers)["id"]
        if self._feed is not None:
            self._feed.expect(placed, sent_at)
        self._orders.append(placed)
        PLACED.append(placed)

    @task(12)
    def list_orders(self) -> None:
        """Read the newest orders."""
        self.ask("GET", "/orders?limit=20", "list orders")

    @task(8)
    def read_order(self) -> None:
        """Read an order and its history."""
        if self._orders:
            order = random.choice(self._orders)  # noqa: S311 - likewise
            self.ask("GET", f"/orders/{order}", "read order")
            self.ask("GET", f"/orders/{order}/history", "read order")

    @task(14)
    def list_notifications(self) -> None:
        """Read the newest notifications and their number."""
        self.ask("GET", "/notifications?limit=20", "list notifications")
        self.ask("GET", "/notifications/unread-count", "list notifications")

    @task(4)
    def read_all(self) -> None:
        """Mark all notifications as read."""
        self.ask("POST", "/notifications/read-all", "read all", json={})

    @task(9)
    def page(self) -> None:
        """Load a page of an application with GraphQL."""
        self._keep_session()
        headers = {"Authorization": f"Bearer {self.token}", "X-Forwarded-For": self.address}
        body = {"query": _PAGE, "variables": {"first": 5}}
        with self.client.post(
            "/graphql", name="GraphQL page", json=body, headers=headers, catch_response=True
        ) as response:
            if response.status_code == 200 and "errors" in response.json():  # noqa: PLR2004 - OK
                response.failure(response.text)

    @task(1)
    def sign_in_again(self) -> None:
        """Log in again, and let the feed go on with the new token."""
        self.log_in_again()
        if self._feed is not None:
            self._renew(self._feed)

    @task(1)
    def give_way(self) -> None:
        """Leave, and come as a new customer: another account, another address."""
        self._leave()
        self._orders.clear()
        self.move()
        self._arrive()

    def _keep_session(self) -> None:
        if self.expires:
            self.sign_in_again()
        if self._feed is None:
            self._follow()
        else:
            self._feed.miss()

    def _arrive(self) -> None:
        """Register, log in and open the feed; try again until that works."""
        while True:
            try:
                self.register(f"load-{uuid.uuid4().hex}@example.com")
                self._follow()
            except RescheduleTask:
                time.sleep(random.uniform(1, 5))  # noqa: S311 - a pause after a counted failure
            else:
                return

    def _follow(self) -> None:
        try:
            self._feed = next(_FEEDS)(self.host, self.address, self.token, self._report)
        except FeedError:
            raise RescheduleTask from None  # it was counted

    def _renew(self, feed: Feed) -> None:
        try:
            feed.renew(self.token)
        except FeedError:
            raise RescheduleTask from None  # it was counted

    def _leave(self) -> None:
        if self._feed is not None:
            feed, self._feed = self._feed, None
            feed.close()

    def _report(self, name: str, milliseconds: float, error: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type="FEED",
            name=name,
            response_time=milliseconds,
            response_length=0,
            exception=error,
            context={},
        )
