"""A client that sends GETs at a fixed rate, whether or not there are responses yet.

`python -m bench.steady PLAN RESULT`, two files of JSON.
"""

import asyncio
import sys
import time
from http import HTTPStatus

from pydantic import BaseModel

from bench.arrivals import arrival_times, each_in_time, percentile
from bench.plans import carry_out
from bench.wire import Wire, get, open_wire


class Plan(BaseModel):
    """The plan: users send in turn; `seed` determines the times."""

    url: str
    tokens: list[str]
    per_second: float
    seconds: float
    seed: int


class Result(BaseModel):
    """The result.

    Attributes:
        operations: how many requests were sent; each got its response.
        seconds: from the first request to the last.
        p50: from the sending of a request to the end of its response, in ms.
        p99: likewise.
    """

    operations: int
    seconds: float
    p50: float
    p99: float


async def run(plan: Plan) -> Result:
    """Do what the plan says."""
    times = arrival_times(per_second=plan.per_second, seconds=plan.seconds, seed=plan.seed)
    requests = [get(plan.url, {"authorization": f"Bearer {token}"}) for token in plan.tokens]
    latencies: list[float] = []
    async with open_wire(plan.url) as wire:
        began, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            async for _ in each_in_time(times):
                group.create_task(_send(wire, requests[number % len(requests)], latencies))
                number += 1
            seconds = time.perf_counter() - began
    return Result(
        operations=number,
        seconds=max(plan.seconds, seconds),
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
    )


async def _send(wire: Wire, request: bytes, latencies: list[float]) -> None:
    began = time.perf_counter()
    await wire.send(request, expect=HTTPStatus.OK)
    latencies.append((time.perf_counter() - began) * 1000)


if __name__ == "__main__":
    carry_out(Plan, run, sys.argv[1:])
