"""What a process says of its health: live, ready, started.

Liveness never depends on another system. Readiness waits for what must be loaded once (pool, keys,
consumer position); after that it ignores shared dependencies, so that a database that is away gives
503 problems to callers and not an empty load balancer.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Health:
    """The state behind the three probes of one process."""

    def __init__(self) -> None:
        self._missing: set[str] = set()
        self._started = False
        self._draining = False
        self._dead: str | None = None

    def expect(self, part: str) -> None:
        """Say that the process is not ready before `part` is loaded."""
        self._missing.add(part)

    def loaded(self, part: str) -> None:
        """Say that `part` is loaded; it never becomes missing again."""
        self._missing.discard(part)

    def started(self) -> None:
        """Say that the start-up code has run to its end."""
        self._started = True

    def drain(self) -> None:
        """Say that the process is about to stop and wants no new work."""
        self._draining = True

    def fail(self, reason: str) -> None:
        """Fail liveness, for good: only a restart helps."""
        self._dead = reason

    @property
    def live(self) -> tuple[bool, str]:
        """Whether the process should go on, and why not."""
        return (self._dead is None, self._dead or "ok")

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether the process wants work, and why not."""
        if self._draining:
            return (False, "draining")
        if not self._started:
            return (False, "starting")
        if self._missing:
            return (False, "waiting for " + ", ".join(sorted(self._missing)))
        return (True, "ok")


def health_routes(health: Health) -> list[Route]:
    """Routes for the internal port: 200 or 503 with ``{"status": reason}``."""

    def answer(state: tuple[bool, str]) -> JSONResponse:
        good, reason = state
        return JSONResponse({"status": reason}, status_code=200 if good else 503)

    async def live(_: Request) -> JSONResponse:
        return answer(health.live)

    async def ready(_: Request) -> JSONResponse:
        return answer(health.ready)

    return [
        Route("/healthz/live", live),
        Route("/healthz/ready", ready),
        Route("/healthz/startup", ready),
    ]
