"""An API process whose event loop is watched: ``python -m bench.watched_api SERVICE``.

It is the process of ``chassis.run``, with a finer measure of the loop's delay than the process has
itself: 200 samples a second, in buckets of 1 ms.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from chassis.api import create_api
from chassis.process import Process, run_api
from chassis.service import Composition, load_service
from chassis.settings import load
from chassis.wiring import ServiceResources, ServiceSettings

_NAME = "bench_loop_delay_seconds"
_EVERY_SECONDS = 0.005
_BOUNDS = (*(n / 1000 for n in range(1, 51)), 0.1, 0.2, 0.5, 1.0)


async def _watch(delays: Histogram) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _EVERY_SECONDS
        await asyncio.sleep(_EVERY_SECONDS)
        delays.observe(max(0.0, loop.time() - due))


def delays_in(metrics: str) -> dict[float, float]:
    """Return how many delays were at most so many seconds, from the text of ``/metrics``."""
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(metrics)
        if family.name == _NAME
        for sample in family.samples
        if sample.name == f"{_NAME}_bucket"
    }


def delay_between(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Return the bound in ms that this share of the delays between two readings did not exceed."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = counts[max(counts)]
    return 1000 * min(bound for bound, count in counts.items() if count >= share * total)


def _watched[S: ServiceSettings, R: ServiceResources](
    composition: Composition[S, R],
) -> Composition[S, R]:
    @asynccontextmanager
    async def extend(common: ServiceResources, settings: S, process: Process) -> AsyncIterator[R]:
        delays = Histogram(_NAME, "Delays.", buckets=_BOUNDS, registry=process.registry)
        async with composition.extend(common, settings, process) as resources:
            process.start(_watch(delays), name="watch")
            yield resources

    return replace(composition, extend=extend)


def main() -> None:
    """Run the process until SIGTERM."""
    service = load_service(sys.argv[1])
    service = replace(service, api=_watched(service.api))
    settings = load(service.api.settings)
    process = Process(name=service.name, settings=settings)
    run_api(process, create_api(service, settings, process))


if __name__ == "__main__":
    main()
