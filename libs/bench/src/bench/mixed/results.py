"""What locust measured: the file that `deploy/load` writes at its end."""

from collections.abc import Sequence

from pydantic import BaseModel

PUSHES = frozenset({"order to push", "order to push (SSE)"})
"""The times from sending an order to the push of its notification; no requests by themselves."""

HASHING = frozenset({"log in", "register"})
"""The classes that hash a password, which is slow on purpose: no bar for them."""


class RouteClass(BaseModel):
    """The requests of one class.

    Attributes:
        name: the class.
        sent: requests in the whole run.
        failed: those that got an error, no response, or no push.
        milliseconds: durations after the warm-up, ascending, each with its count.
    """

    name: str
    sent: int
    failed: int
    milliseconds: Sequence[tuple[float, int]]

    @property
    def measured(self) -> int:
        """Return the number of durations."""
        return sum(count for _, count in self.milliseconds)

    def quantile(self, share: float) -> float | None:
        """Return the duration that this share of requests did not exceed, in milliseconds.

        None if there is no duration.
        """
        rank, seen = share * self.measured, 0
        for duration, count in self.milliseconds:
            seen += count
            if seen >= rank:
                return duration
        return None


class Result(BaseModel):
    """The whole run.

    Attributes:
        seconds: after the warm-up.
        steps: of customers in that time.
        classes: by route class.
        errors: their number, by text.
    """

    seconds: float
    steps: int
    classes: Sequence[RouteClass]
    errors: dict[str, int]

    @property
    def sent(self) -> int:
        """Return the number of requests and expected pushes in the whole run."""
        return sum(one.sent for one in self.classes)

    @property
    def error_share(self) -> float:
        """Return the share of failures; 1 if nothing was sent."""
        return sum(one.failed for one in self.classes) / self.sent if self.sent else 1.0

    @property
    def requests_per_second(self) -> float:
        """Return the successful requests per second after the warm-up."""
        measured = sum(one.measured for one in self.classes if one.name not in PUSHES)
        return measured / self.seconds if self.seconds else 0.0
