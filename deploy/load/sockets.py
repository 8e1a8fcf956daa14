"""A live feed over a WebSocket."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import websocket
from feed import LIMIT_SECONDS, Feed, FeedError
from gevent.lock import RLock


class Socket(Feed):
    """One WebSocket; it outlives its tokens."""

    opening = "feed"
    pushing = "order to push"

    def renew(self, token: str) -> None:
        """Let the feed go on with a new token."""
        self._say({"type": "renew", "id": "renew", "token": token})

    def _open(self, token: str) -> None:
        url = f"{self._host.replace('http', 'ws', 1)}/api/v1/notifications/ws"
        self._sending = RLock()
        try:
            self._socket = websocket.create_connection(
                url, timeout=LIMIT_SECONDS, header={"X-Forwarded-For": self._address}
            )
            self._say({"type": "auth", "token": token})
            ready = json.loads(self._socket.recv())
        except (OSError, websocket.WebSocketException) as error:
            raise FeedError(repr(error)) from error
        if ready["type"] != "ready":
            message = f"The feed sent {ready} and not ready."
            raise FeedError(message)
        self._socket.settimeout(None)  # it sends a ping each 20 s

    def _items(self) -> Iterator[Mapping[str, Any]]:
        try:
            while text := self._socket.recv():
                message = json.loads(text)
                match message["type"]:
                    case "ping":
                        self._say({"type": "pong"})
                    case "notification":
                        yield message["data"]
                    case "error":
                        raise FeedError(str(text))
        except (OSError, websocket.WebSocketException) as error:
            raise FeedError(repr(error)) from error

    def _close(self) -> None:
        self._socket.close()

    def _say(self, message: dict[str, str]) -> None:
        with self._sending:
            self._socket.send(json.dumps(message))
