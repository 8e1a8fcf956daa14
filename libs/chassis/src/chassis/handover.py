"""Continue a WebSocket outside of the request that opened it.

While an ASGI app serves a socket, all that has opened it stays in memory: the frames of some thirty
coroutines of the framework and its middleware, their exit stacks, the request's fields. That is
20 KB for each open socket, and it is of no use after the handshake.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

EXTENSION = "chassis.handover"
"""The name of the handover in the scope's `extensions` (ASGI)."""

type Conversation = Callable[[Receive, Send], Awaitable[None]]
"""Serves an accepted socket until it is closed."""


class Handover:
    """What the server runs once the app has returned; the server puts one into each scope.

    Args:
        heard_at: returns when the client's last byte arrived, in seconds of `time.monotonic`.
    """

    __slots__ = ("_conversation", "_fields", "heard_at")

    def __init__(self, heard_at: Callable[[], float]) -> None:
        self.heard_at = heard_at
        self._conversation: Conversation | None = None
        self._fields: Mapping[str, Any] = {}

    def offer(self, conversation: Conversation) -> None:
        """Have `conversation` run after the app, with the log fields of the present context."""
        self._conversation = conversation
        self._fields = structlog.contextvars.get_contextvars()

    def take(self) -> Conversation | None:
        """Return the conversation, if there is one, and bind its log fields to the context."""
        conversation, self._conversation = self._conversation, None
        structlog.contextvars.bind_contextvars(**self._fields)
        return conversation


def hand_over(scope: Scope, conversation: Conversation) -> None:
    """Let the server serve a socket by `conversation`, once the app has returned.

    Accept the socket first. The request then ends: its log line is written and its span ends, so
    its duration is that of the handshake. Log lines of the conversation have the request's id.

    Args:
        scope: the scope of the socket.
        conversation: gets the server's own `receive` and `send`, and must close the socket.

    Raises:
        KeyError: the server is not that of the chassis.
    """
    handover: Handover = scope["extensions"][EXTENSION]
    handover.offer(conversation)


def last_heard(scope: Scope) -> Callable[[], float]:
    """Return what returns when the client's last byte arrived, in seconds of `time.monotonic`.

    Bytes count that the app never sees: a pong, or a part of a message.
    """
    handover: Handover = scope["extensions"][EXTENSION]
    return handover.heard_at
