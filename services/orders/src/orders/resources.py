"""The worker's resources beyond the common ones. The API process needs only the common ones."""

from dataclasses import dataclass
from datetime import timedelta

from chassis.wiring import ServiceResources


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResources(ServiceResources):
    """The resources of the worker.

    Attributes:
        confirm_within: an order that is not confirmed within this time is cancelled.
    """

    confirm_within: timedelta
