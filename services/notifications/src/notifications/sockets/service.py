"""What a client may do on its socket: how often it sends, which items it wants, its token."""

import json
import time
from collections.abc import Callable, Collection

from chassis.auth.principal import Principal
from notifications.feed.repository import Item
from notifications.feed.service import Connection
from notifications.kinds.models import KINDS, Category
from notifications.sockets.errors import OtherUser, TooManyMessages

_BURST = 60  # messages that a client may send at once
_PER_SECOND = 5.0


class MessageBudget:
    """Limits how many messages a client may send."""

    def __init__(self) -> None:
        self._left = float(_BURST)
        self._counted_at = time.monotonic()

    def count(self) -> None:
        """Count a message, or raise TooManyMessages."""
        now = time.monotonic()
        self._left = min(_BURST, self._left + (now - self._counted_at) * _PER_SECOND) - 1
        self._counted_at = now
        if self._left < 0:
            detail = (
                f"The client sent too many messages. The feed accepts {_BURST} at once, then "
                f"{_PER_SECOND:g} each second. Send fewer."
            )
            raise TooManyMessages(detail, retry_after=1)


class Filter:
    """Which items a socket's client wants: at first all."""

    def __init__(self) -> None:
        self._categories: frozenset[Category] | None = None

    def choose(self, categories: Collection[Category] | None) -> None:
        """Want only notifications of these categories; None wants all."""
        self._categories = None if categories is None else frozenset(categories)

    def accepts(self, item: Item) -> bool:
        """Return whether the client wants an item. What has no known category, everybody gets."""
        if self._categories is None:
            return True
        name = json.loads(item.data).get("type") if item.type == "notification" else item.type
        kind = KINDS.get(str(name))
        return kind is None or kind.category in self._categories


def renew(connection: Connection, token: str, caller_of: Callable[[str], Principal]) -> int:
    """Continue a connection with a newer token, and return when that expires, in s since 1970.

    Args:
        connection: the connection.
        token: an access token of the same user.
        caller_of: returns the user of a valid token.

    Raises:
        OtherUser: the token belongs to another user.
        Unauthenticated: the token is not valid.
        InsufficientScope: it lacks the scope of the feed.
    """
    caller = caller_of(token)
    if caller.user_id != connection.user_id:
        message = (
            "The access token belongs to another user. Renew the socket with a token of its own "
            "user, or open another socket."
        )
        raise OtherUser(message)
    connection.principal = caller
    return caller.expires_at
