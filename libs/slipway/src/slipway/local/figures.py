"""Reads from the metrics of a process what an operator looks at first."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from pydantic import BaseModel, Field

from slipway.local.probe import Get

_OK = 200
_BREAKER = {0.0: "closed", 1.0: "half-open", 2.0: "open"}
_REFUSALS = {
    "gateway_rate_limit_refusals": "rate limit",
    "gateway_bulkhead_refusals": "bulkhead",
    "gateway_websockets_refused": "sockets",
    "gateway_upstream_shed": "shed",
    "feed_connections_refused": "feed",
    "password_queue_refused": "passwords",
}
"""The counters of refusals, by what they limit."""

type _Families = Mapping[str, Sequence[Sample]]


class Figures(BaseModel):
    """The figures of one process; None: this process does not measure it, or can't at present.

    Attributes:
        release: the version of the release that runs.
        outbox_rows: events of the service that are not published yet.
        outbox_age_seconds: the age of the oldest of them.
        lag_messages: messages that the service has not consumed yet, in all topics.
        lag_seconds: how long the oldest of them has waited.
        parked: messages that are retried.
        dead: messages that are no longer retried, or of an unknown type.
        dead_jobs: jobs that are no longer retried.
        breakers: the state of the circuit breaker of each service: closed, half-open or open.
        limiter_store: whether the gateway's rate limits use their store: "ok", or "local" while
            each gateway counts on its own.
        refusals: how many requests each limit refused since the process started, by kind and class
            of the limit.
    """

    release: str | None = None
    outbox_rows: int | None = None
    outbox_age_seconds: float | None = None
    lag_messages: int | None = None
    lag_seconds: float | None = None
    parked: int | None = None
    dead: int | None = None
    dead_jobs: int | None = None
    breakers: dict[str, str] = Field(default_factory=dict)
    limiter_store: str | None = None
    refusals: dict[str, int] = Field(default_factory=dict)


async def read_figures(internal: str, get: Get) -> Figures | None:
    """Return the figures of a process, or None if it does not respond with metrics.

    Args:
        internal: the address of its internal port: ``http://host:port``.
        get: sends the request.
    """
    try:
        status, body = await get(f"{internal}/metrics")
        return await asyncio.to_thread(figures_of, body) if status == _OK else None
    except (OSError, LookupError, ValueError):
        return None


def figures_of(text: str) -> Figures:
    """Return the figures of an exposition in Prometheus' text format.

    Raises:
        ValueError: it is none.
    """
    families: dict[str, list[Sample]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        families[family.name] += family.samples
    releases = [sample.labels["version"] for sample in _samples(families, "process_release")]
    parked = {
        sample.labels["state"]: int(sample.value)
        for sample in _samples(families, "parked_messages")
    }
    local = _highest(families, "gateway_rate_limits_local")
    return Figures(
        release=releases[0] if releases else None,
        outbox_rows=_whole(_highest(families, "outbox_backlog_rows")),
        outbox_age_seconds=_highest(families, "outbox_oldest_row_age_seconds"),
        lag_messages=_whole(_sum(families, "consumer_lag_messages")),
        lag_seconds=_highest(families, "consumer_lag_seconds"),
        parked=parked.get("retrying"),
        dead=parked.get("dead", 0) + parked.get("unknown", 0) if parked else None,
        dead_jobs=_whole(_sum(families, "jobs_dead")),
        breakers={
            sample.labels["service"]: _BREAKER.get(sample.value, "unknown")
            for sample in _samples(families, "gateway_upstream_breaker_state")
        },
        limiter_store=None if local is None else ("local" if local else "ok"),
        refusals=dict(_refusals(families)),
    )


def _refusals(families: _Families) -> Iterable[tuple[str, int]]:
    for name, limit in _REFUSALS.items():
        for sample in _samples(families, name):
            if sample.name.endswith("_total"):
                yield " ".join([limit, *sample.labels.values()]), int(sample.value)


def _samples(families: _Families, name: str) -> Sequence[Sample]:
    return families.get(name, ())


def _highest(families: _Families, name: str) -> float | None:
    return max((sample.value for sample in _samples(families, name)), default=None)


def _sum(families: _Families, name: str) -> float | None:
    values = [sample.value for sample in _samples(families, name)]
    return sum(values) if values else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
