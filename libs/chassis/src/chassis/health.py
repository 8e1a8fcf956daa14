"""The health of a process, as probes report it: live, ready, started.

Liveness never depends on another system. Readiness waits for what must be loaded once (pool, keys,
consumer position), and then ignores shared dependencies. So callers get 503 problems while the
database is unavailable, instead of a load balancer without processes.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Health:
    """The state behind the three probes of one process.

    Attributes:
        parts: the state of other systems, by name; shown in probes, never a reason to fail one.
    """

    def __init__(self) -> None:
        self._missing: set[str] = set()
        self.parts: dict[str, str] = {}
        self._started = False
        self._draining = False
        self._dead: str | None = None
        self._failing: dict[str, str] = {}
        self._degraded: dict[str, str] = {}

    def expect(self, part: str) -> None:
        """Declare that the process is not ready before `part` is loaded."""
        self._missing.add(part)

    def loaded(self, part: str) -> None:
        """Record that `part` is loaded; it is not expected again after that."""
        self._missing.discard(part)

    def note(self, part: str, state: str) -> None:
        """Show the state of another system in the body of each probe; no probe fails for it."""
        self.parts[part] = state

    def started(self) -> None:
        """Record that the start-up code has completed."""
        self._started = True

    def drain(self) -> None:
        """Record that the process is about to stop, so that it is not ready for new work."""
        self._draining = True

    def fail(self, reason: str) -> None:
        """Fail liveness permanently: only a restart helps."""
        self._dead = reason

    def fail_part(self, part: str, reason: str) -> None:
        """Fail liveness until `part` has recovered."""
        self._failing[part] = reason

    def degrade(self, part: str, reason: str) -> None:
        """Show that `part` does not work until it has recovered.

        The probes pass: a restart would not help, and would stop what works.
        """
        self._degraded[part] = reason

    def recover(self, part: str) -> None:
        """Record that `part` works."""
        self._failing.pop(part, None)
        self._degraded.pop(part, None)

    @property
    def degraded(self) -> dict[str, str]:
        """The parts that do not work although the process is live, and the reason of each."""
        return dict(self._degraded)

    @property
    def live(self) -> tuple[bool, str]:
        """Whether the process is live, and the reason if it is not."""
        reason = self._dead or "; ".join(self._failing.values())
        return (not reason, reason or "ok")

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether the process is ready for work, and the reason if it is not."""
        if self._draining:
            return (False, "draining")
        if not self._started:
            return (False, "starting")
        if self._missing:
            return (False, "waiting for " + ", ".join(sorted(self._missing)))
        return (True, "ok")


def health_routes(health: Health) -> list[Route]:
    """Return the probes' routes, for the internal port: 200 or 503 with ``{"status": reason}``.

    ``parts`` shows other systems by name. ``degraded`` shows what does not work, with the reasons.
    """

    def answer(state: tuple[bool, str]) -> JSONResponse:
        good, reason = state
        body: dict[str, Any] = {"status": reason}
        if health.parts:
            body["parts"] = health.parts
        if health.degraded:
            body["degraded"] = health.degraded
        return JSONResponse(body, status_code=200 if good else 503)

    async def live(_: Request) -> JSONResponse:
        return answer(health.live)

    async def ready(_: Request) -> JSONResponse:
        return answer(health.ready)

    return [
        Route("/healthz/live", live),
        Route("/healthz/ready", ready),
        Route("/healthz/startup", ready),
    ]
