"""The operators' app: mounted on a worker's internal port, beside probes and metrics."""

from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.middleware import Middleware

from chassis.audit.verification import AuditVerifier
from chassis.http.context import RequestContext
from chassis.http.failures import Failures, add_handlers
from chassis.http.limits import BodyLimits
from chassis.http.methods import HeadAsGet
from chassis.http.metrics import HttpMetrics
from chassis.http.openapi import describe
from chassis.http.tracing import NO_NATIVE_TELEMETRY, ServerSpan
from chassis.operations import audit_routes, dead_letter_routes, job_routes, replay_routes
from chassis.operations.dead_letters import DeadLetters
from chassis.operations.jobs import OperatedJobs
from chassis.operations.replays import Replays
from chassis.wiring import ServiceResources

PATH = "/operations"


class Operations:
    """The operations on one worker.

    Args:
        title: the title of the OpenAPI document.
        registry: where its metrics are registered.
    """

    def __init__(self, *, title: str, registry: CollectorRegistry) -> None:
        self._actions = Counter(
            "dead_letter_actions_total",
            "What operators did to parked messages: redriven, discarded.",
            ["action"],
            registry=registry,
        )
        self._job_actions = Counter(
            "job_actions_total",
            "What operators did to jobs: redriven, cancelled.",
            ["action"],
            registry=registry,
        )
        self.app = FastAPI(
            title=title,
            version="1",
            docs_url=None,
            redoc_url=None,
            telemetry=NO_NATIVE_TELEMETRY,
            redirect_slashes=False,
            middleware=[
                Middleware(ServerSpan),
                Middleware(RequestContext, metrics=HttpMetrics(registry)),
                Middleware(HeadAsGet),
                Middleware(BodyLimits),
                Middleware(Failures),
            ],
        )
        add_handlers(self.app)
        self.app.include_router(dead_letter_routes.router)
        self.app.include_router(job_routes.router)
        self.app.include_router(replay_routes.router)
        self.app.include_router(audit_routes.router)
        describe(self.app)

    def open(
        self,
        resources: ServiceResources,
        replays: Replays[Any],
        *,
        audit: AuditVerifier | None = None,
    ) -> None:
        """Set what the routes need; until then every route fails.

        Args:
            resources: those of the worker.
            replays: the service's replays.
            audit: verifies the audit log; None if the service keeps none.
        """
        state = self.app.state
        state.database = resources.database
        state.verifier = resources.verifier
        state.replays = replays
        state.audit = audit
        state.dead_letters = DeadLetters(consumer=resources.service, counter=self._actions)
        state.jobs = OperatedJobs(
            service=resources.service, wakeups=resources.wakeups, counter=self._job_actions
        )
