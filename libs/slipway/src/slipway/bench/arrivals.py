"""Load that does not wait for answers: operations begin at times that were fixed before."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from random import Random


def arrival_times(*, per_second: float, seconds: float, seed: int) -> list[float]:
    """Give the seconds at which operations begin, by chance like those of many clients.

    Just so many that the rate is exact; between them it is a Poisson process.
    """
    random = Random(seed)  # noqa: S311  # not for secrets
    return sorted(random.uniform(0, seconds) for _ in range(round(per_second * seconds)))


async def each_in_time(times: Sequence[float]) -> AsyncIterator[float]:
    """Yield at each of `times`, how late it is; whoever iterates must not wait for anything."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for time in times:
        await asyncio.sleep(start + time - loop.time())
        yield loop.time() - start - time


def percentile(values: Sequence[float], share: float) -> float:
    """Give the least value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
