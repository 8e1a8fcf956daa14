"""Counts the requests by route class, with their durations."""

import json
import os
import time
from collections import Counter, defaultdict

_LONGEST_ERROR = 200


class Outcomes:
    """What became of all requests. Durations count after the warm-up, failures from the start.

    Args:
        warm_up: seconds.
    """

    def __init__(self, *, warm_up: float) -> None:
        self._warm_up = warm_up
        self._began = self._ended = 0.0
        self._steps = 0
        self._sent: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._milliseconds: defaultdict[str, Counter[float]] = defaultdict(Counter)

    def begin(self) -> None:
        """Note when the load begins."""
        self._began = time.monotonic()

    def end(self) -> None:
        """Note when no further request is sent."""
        self._ended = time.monotonic()

    def record(
        self, name: str, response_time: float, exception: Exception | None, **_: object
    ) -> None:
        """Count one request; `response_time` is in milliseconds. A listener of locust."""
        self._sent[name] += 1
        if exception is not None:
            self._failed[name] += 1
            self._errors[f"{name}: {exception!r}"[:_LONGEST_ERROR]] += 1
        elif self._counts():
            self._milliseconds[name][round(response_time, 1)] += 1

    def step(self) -> None:
        """Count one step of a customer."""
        self._steps += self._counts()

    def _counts(self) -> bool:
        return time.monotonic() - self._began > self._warm_up and not self._ended

    def as_json(self) -> str:
        """Return the result as `bench.mixed.results.Result` reads it."""
        ended = self._ended or time.monotonic()
        return json.dumps(
            {
                "seconds": max(0.0, ended - self._began - self._warm_up),
                "steps": self._steps,
                "classes": [
                    {
                        "name": name,
                        "sent": sent,
                        "failed": self._failed[name],
                        "milliseconds": sorted(self._milliseconds[name].items()),
                    }
                    for name, sent in self._sent.items()
                ],
                "errors": self._errors,
            }
        )


OUTCOMES = Outcomes(warm_up=float(os.environ["LOAD_WARM_UP"]))
"""Those of this process."""
