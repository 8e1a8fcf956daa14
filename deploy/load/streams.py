"""A live feed as server-sent events (WHATWG HTML §9.2)."""

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import gevent
from feed import LIMIT_SECONDS, Feed, FeedError

_PATH = "/api/v1/notifications/stream"


class Stream(Feed):
    """One stream after another: each ends with its token, and the next resumes after its last."""

    opening = "feed (SSE)"
    pushing = "order to push (SSE)"

    _last_id = ""

    def renew(self, token: str) -> None:
        """Let the feed go on in a stream of the new token."""
        self._reader.kill()
        self._close()
        self._open_in_time(token)
        self._reader = gevent.spawn(self._read)

    def _open(self, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": self._address}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        self._connection = HTTPConnection(urlsplit(self._host).netloc, timeout=LIMIT_SECONDS)
        try:
            self._connection.connect()
            connected = self._connection.sock  # the response may take it over
            self._connection.request("GET", _PATH, headers=headers)
            self._response = self._connection.getresponse()
            self._events = self._read_events(self._response)
            kind, data = next(self._events)
        except (OSError, HTTPException) as error:
            raise FeedError(repr(error)) from error
        if kind != "ready":
            message = f"The stream sent {kind} with {data}, and not ready."
            raise FeedError(message)
        connected.settimeout(None)  # it sends a comment each 20 s

    def _items(self) -> Iterator[Mapping[str, Any]]:
        try:
            for kind, data in self._events:
                match kind:
                    case "notification":
                        yield json.loads(data)
                    case "error":
                        raise FeedError(data)
        except (OSError, HTTPException) as error:
            raise FeedError(repr(error)) from error

    def _read_events(self, response: HTTPResponse) -> Iterator[tuple[str, str]]:
        """Yield the kind and the data of each event; raise FeedError at the end."""
        fields: dict[str, str] = {}
        for line in response:
            text = line.decode().rstrip("\r\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value  # of a comment it is the empty one
                continue
            if "data" in fields:
                self._last_id = fields.get("id", self._last_id)
                yield fields.get("event", "message"), fields["data"]
            fields = {}
        message = f"The stream has ended; its status was {response.status}."
        raise FeedError(message)

    def _close(self) -> None:
        self._response.close()
        self._connection.close()
