"""Why the gateway itself refuses a request or can't get an answer to it."""

from collections.abc import Mapping

from chassis.errors import Malformed


class Refused(Exception):
    """An answer that is no more than its HTTP status and a sentence.

    Args:
        status: the HTTP status.
        detail: what was wrong, and what to do.
        headers: of the answer.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class Suspicious(Malformed):
    """A head that two readers could read differently; its connection is closed after the answer."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""
