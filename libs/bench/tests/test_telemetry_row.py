"""The row of telemetry: three processes on one database, each with what it should have."""

from dataclasses import replace

import httpx
import pytest

from bench import telemetry
from bench.bare_api import _TAKEN_OUT, take_out
from bench.load import Requests
from bench.rig import Rig
from bench.rounds import Sample

from .test_rows import PACE, FewRequests
from .test_rows import rig as rig  # noqa: PLC0414 - a fixture

_TIMES = 15
REQUESTS = "http_server_request_duration_seconds_count"


class ManyRequests:
    """Sends enough for the kernel, which counts CPU time in steps of 10 ms."""

    def __init__(self) -> None:
        self._few = FewRequests()
        self._runs = 0

    async def run(self, url: str, requests: Requests, *, clients: int, seconds: float) -> Sample:
        tokens, products, _ = requests.arguments
        taken = []
        for _ in range(_TIMES):
            self._runs += 1
            again = replace(requests, arguments=(tokens, products, str(self._runs)))
            taken.append(await self._few.run(url, again, clients=clients, seconds=seconds))
        return replace(taken[-1], operations=sum(sample.operations for sample in taken))


async def metrics_of(program) -> str:
    internal = program.spec.ready_url.removesuffix("/healthz/ready")
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return (await client.get(f"{internal}/metrics")).text


@pytest.mark.usefixtures("all_services")
async def test_the_row(rig: Rig) -> None:
    programs, products = await telemetry.start(rig, products=2)
    finding = await telemetry.compare(rig, programs, products, ManyRequests(), PACE, clients=2)
    assert [line.bar for line in finding.lines] == [1.15, 1.05]
    assert all(line.measured.value > 0 for line in finding.lines)
    assert REQUESTS in await metrics_of(programs[telemetry.OFF])
    assert REQUESTS not in await metrics_of(programs[telemetry.BARE])


def test_what_is_taken_out_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, name, _ in _TAKEN_OUT:
        monkeypatch.setattr(place, name, getattr(place, name))  # restored after the test
    take_out()
    for place, name, replacement in _TAKEN_OUT:
        assert getattr(place, name) is replacement
