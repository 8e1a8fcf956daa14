"""The app of operators: mounted on a worker's internal port, beside probes and metrics."""

from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.middleware import Middleware

from chassis.http.context import RequestContext
from chassis.http.failures import Failures, add_handlers
from chassis.http.limits import BodyLimits
from chassis.http.openapi import describe
from chassis.operations import dead_letter_routes, replay_routes
from chassis.operations.dead_letters import DeadLetters
from chassis.operations.replays import Replays
from chassis.wiring import ServiceResources

PATH = "/operations"


class Operations:
    """What operators may do with one worker.

    Args:
        title: of the OpenAPI document.
        registry: where its metrics go.
    """

    def __init__(self, *, title: str, registry: CollectorRegistry) -> None:
        self._actions = Counter(
            "dead_letter_actions_total",
            "What operators did to parked messages: redriven, discarded.",
            ["action"],
            registry=registry,
        )
        self.app = FastAPI(
            title=title,
            version="1",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            middleware=[Middleware(RequestContext), Middleware(BodyLimits), Middleware(Failures)],
        )
        add_handlers(self.app)
        self.app.include_router(dead_letter_routes.router)
        self.app.include_router(replay_routes.router)
        describe(self.app)

    def open(self, resources: ServiceResources, replays: Replays[Any]) -> None:
        """Serve from now on; before, every route would fail."""
        state = self.app.state
        state.database = resources.database
        state.verifier = resources.verifier
        state.replays = replays
        state.dead_letters = DeadLetters(consumer=resources.service, counter=self._actions)
