"""Open-loop load: operations begin at predetermined times, without waiting for responses."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from random import Random


def arrival_times(*, per_second: float, seconds: float, seed: int) -> list[float]:
    """Return random times in seconds at which operations begin, like those of many clients.

    Their number makes the rate exact; apart from that they are a Poisson process.
    """
    random = Random(seed)  # noqa: S311  # not for secrets
    return sorted(random.uniform(0, seconds) for _ in range(round(per_second * seconds)))


async def each_in_time(times: Sequence[float]) -> AsyncIterator[float]:
    """Yield at each of `times` the delay in seconds; the caller must not wait in between."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for time in times:
        await asyncio.sleep(start + time - loop.time())
        yield loop.time() - start - time


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
