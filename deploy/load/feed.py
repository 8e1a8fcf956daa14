"""A customer's live feed over a WebSocket, in a greenlet of its own."""

import json
import time
from collections.abc import Callable

import gevent
import websocket
from gevent.lock import RLock

_LIMIT_SECONDS = 10.0
_LOOK_SECONDS = 0.1

type Report = Callable[[str, float, Exception | None], None]
"""Called with a route class, milliseconds, and what went wrong."""


class NoPushError(Exception):
    """An order's notification did not arrive in time."""


class Feed:
    """One connection; reports each push with the time since its order was sent.

    Args:
        url: of the feed.
        address: from which the customer seems to come.
        token: an access token.
        report: counts what happened.
    """

    def __init__(self, url: str, address: str, token: str, report: Report) -> None:
        self._report = report
        self._sending = RLock()
        self._sent: dict[str, float] = {}
        self._arrived: dict[str, float] = {}
        self._closed = False
        began = time.perf_counter()
        try:
            self._socket = _connected(url, address, token)
        except (OSError, websocket.WebSocketException) as error:
            report("feed", 0.0, error)
            raise
        report("feed", (time.perf_counter() - began) * 1000, None)
        self._socket.settimeout(None)  # it sends a ping each 20 s
        self._reader = gevent.spawn(self._read)

    def expect(self, order_id: str, sent_at: float) -> None:
        """Expect the push of an order that was sent at this time of `perf_counter`."""
        self._sent[order_id] = sent_at
        self._match(order_id)

    def renew(self, token: str) -> None:
        """Let the feed go on with a new token."""
        self._say({"type": "renew", "id": "renew", "token": token})

    def miss(self) -> None:
        """Report the pushes that are overdue as failures."""
        now = time.perf_counter()
        for order_id, sent_at in list(self._sent.items()):
            if now - sent_at > _LIMIT_SECONDS:
                del self._sent[order_id]
                error = NoPushError(f"no push within {_LIMIT_SECONDS:g} s")
                self._report("order to push", _LIMIT_SECONDS * 1000, error)

    def close(self) -> None:
        """Wait for the pushes that are still to come, and close."""
        while self._sent:
            gevent.sleep(_LOOK_SECONDS)
            self.miss()
        self._closed = True
        self._reader.kill()
        self._socket.close()

    def _read(self) -> None:
        try:
            while text := self._socket.recv():
                message = json.loads(text)
                if message["type"] == "ping":
                    self._say({"type": "pong"})
                elif message["type"] == "notification":
                    self._take(message["data"])
                elif message["type"] == "error":
                    self._report("feed", 0.0, websocket.WebSocketException(text))
        except (OSError, websocket.WebSocketException) as error:
            if not self._closed:
                self._report("feed", 0.0, error)

    def _take(self, notification: dict[str, object]) -> None:
        data = notification.get("data")
        if notification.get("type") == "order.placed" and isinstance(data, dict):
            self._arrived[data["order_id"]] = time.perf_counter()
            self._match(data["order_id"])

    def _match(self, order_id: str) -> None:
        """Report the push once both the order's response and its notification are here."""
        if order_id in self._sent and order_id in self._arrived:
            took = self._arrived.pop(order_id) - self._sent.pop(order_id)
            self._report("order to push", took * 1000, None)

    def _say(self, message: dict[str, str]) -> None:
        with self._sending:
            self._socket.send(json.dumps(message))


def _connected(url: str, address: str, token: str) -> websocket.WebSocket:
    """Return a connection whose feed is ready."""
    connection = websocket.create_connection(
        url, timeout=_LIMIT_SECONDS, header={"X-Forwarded-For": address}
    )
    connection.send(json.dumps({"type": "auth", "token": token}))
    ready = json.loads(connection.recv())
    if ready["type"] != "ready":
        message = f"The feed sent {ready} and not ready."
        raise websocket.WebSocketException(message)
    return connection
