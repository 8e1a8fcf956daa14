"""uvicorn's HTTP/1.1 protocol and its ASGI types.

uvicorn documents how to choose a protocol class, but no way to limit a request's head or to respond
to a malformed one. Both need a subclass of its own protocol.
"""

from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

# The types: an override must have the signature of the method that it overrides. STATUS_LINE: the
# encoded first line of a response, by status. RequestResponseCycle: one request and its response.
__all__ = [
    "STATUS_LINE",
    "ASGI3Application",
    "ASGIReceiveCallable",
    "ASGISendCallable",
    "ASGISendEvent",
    "HttpProtocol",
    "RequestResponseCycle",
    "Scope",
]


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, with its private methods under public names.

    The attributes that a subclass may use are listed in the canary test.

    An object with more than thirty attributes has a dictionary of its own, of 1.6 KB. A process
    holds ten thousand idle connections, so the attributes of uvicorn's class have slots, too. One
    that is missing here works, but costs the dictionary.
    """

    __slots__ = (
        "access_log",
        "access_logger",
        "app",
        "app_state",
        "asgi_version",
        "client",
        "config",
        "connections",
        "cycle",
        "expect_100_continue",
        "flow",
        "headers",
        "limit_concurrency",
        "logger",
        "loop",
        "parser",
        "pipeline",
        "root_path",
        "scheme",
        "scope",
        "server",
        "server_state",
        "tasks",
        "timeout_keep_alive",
        "timeout_keep_alive_task",
        "transport",
        "url",
        "ws_protocol_class",
    )

    def takes_upgrade(self) -> bool:
        """Return whether the current request becomes a WebSocket; a subclass may override it."""
        return super()._should_upgrade()

    def prepared(self, app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
        """Return the app that serves a request instead of `app`; a subclass may override it."""
        del cycle
        return app

    def starts(self, cycle: object) -> bool:
        """Start `cycle` and return True if it is not an ASGI cycle; a subclass may override it."""
        del cycle
        return False

    def speaks_websocket(self) -> bool:
        """Return whether a WebSocket protocol is configured."""
        return self._should_upgrade_to_ws()

    def on_message_begin(self) -> None:
        """Begin a head, without the scope: a subclass may serve requests that need none."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a field. Unlike uvicorn's, it does not look for `Expect`: a subclass does."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Make the scope of the request whose head was read, and start its cycle."""
        url, fields, waits = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, fields, waits
        self.scope["headers"] = fields
        super().on_headers_complete()

    def stop_keep_alive_timer(self) -> None:
        """Stop the keep-alive timer, because data has arrived.

        A subclass that overrides `data_received` must call it; otherwise uvicorn closes the
        connection in the middle of a request.
        """
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()

    def _should_upgrade(self) -> bool:
        # uvicorn's own check reads only the last `Upgrade` field, and accepts only one spelling.
        return self.takes_upgrade()

    def start_waiting(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Serve a request that waited behind another one, as uvicorn does."""
        self._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # The only method that uvicorn calls for every request, including pipelined ones.
        if not self.starts(cycle):
            super()._start_asgi_task(cycle, self.prepared(app, cycle))
