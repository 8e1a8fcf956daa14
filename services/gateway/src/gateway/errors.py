"""The errors for requests that the gateway rejects or can't get a response to."""

from collections.abc import Mapping

from chassis.errors import Malformed


class Refused(Exception):
    """A response that consists of an HTTP status and a sentence.

    Args:
        status: the HTTP status.
        detail: what was wrong, and what to do.
        headers: the response's headers.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class Suspicious(Malformed):
    """A head that two readers could read differently; its connection is closed after the answer.

    `name` and `title` are those of `Malformed`, so that all malformed requests share one problem
    type.
    """

    name = Malformed.name
    title = Malformed.title


class ClientGone(Exception):
    """The client disconnected before the response."""
