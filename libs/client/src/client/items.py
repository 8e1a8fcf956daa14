"""What the two transports of the live feed have in common: items, and how one is read."""

from abc import abstractmethod
from typing import Any, Final, Self

from pydantic import Field, ValidationError

from client.closing import Closing
from client.errors import FeedError
from client.shapes import Answer

RESET: Final = "reset"


class FeedItem(Answer):
    """One item of the live feed.

    `type` is `notification`, `order`, or one that a newer server has added. `reset` means that the
    server does not keep all items after `last_event_id`, or never issued that id: read the lists
    again.
    """

    type: str
    event_id: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class Connected(Closing):
    """One connection to the live feed: an async context manager and iterator over its items.

    Entering it connects and waits for `ready`. The iteration ends when the server closes the
    connection normally.
    """

    def __init__(self, url: str) -> None:
        self.event_id: int | None = None
        """The feed's position: the `event_id` of `ready`, then of the last item received."""
        self._url = url

    def __aiter__(self) -> Self:
        return self

    @abstractmethod
    async def __anext__(self) -> FeedItem:
        """Wait for the next item and return it."""

    def _item(self, message: dict[str, Any]) -> FeedItem:
        try:
            return FeedItem.model_validate(message)
        except ValidationError as error:
            strange = (
                f"The feed {self._url} sent an item that is not valid: {error}. Update this client."
            )
            raise FeedError(strange, strange=True) from error

    def _returned(self, item: FeedItem) -> FeedItem:
        """Make an item the position: not as it arrives, since its caller may never take it."""
        if item.event_id is not None:
            self.event_id = item.event_id
        return item

    def _not_open(self) -> FeedError:
        return FeedError("The feed is not open. Use it in an `async with`.")
