"""Drives the load with locust, and samples the system's processes meanwhile."""

import asyncio
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.mixed.results import Result
from bench.mixed.usage import Sampler, Usage
from client import Money, NewProduct, SlipwayClient
from slipway.errors import SlipwayError
from slipway.local.logtail import tail
from slipway.local.program import inherited_environment
from slipway.local.system import System
from slipway.operate.seed import DEMO_PASSWORD, SUPPORT
from slipway.refusals import refusals_of

LOCUST = Path(".slipway/tools/load/bin/locust")
_FILE = Path("deploy/load/locustfile.py")
_PRODUCTS = 20
_STOCK = 1_000_000
_STOP_SECONDS = 30
_SAMPLES = 120
_SOONEST_SECONDS = 2.0
_SHIPMENTS = 0.05  # of the customers' steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much load, and for how long.

    Attributes:
        customers: at a time; each has a live feed.
        pace: steps of each customer per second; a step is one to three requests.
        seconds: measured ones, after the warm-up.
        warm_up: seconds in which the customers come, and durations do not count.
    """

    customers: int
    seconds: float
    pace: float = 1.0
    warm_up: float = 15.0

    @property
    def steps_per_second(self) -> float:
        """Return the steps of all customers."""
        return self.customers * self.pace

    def environment(self, result: Path) -> dict[str, str]:
        """Return the settings of `deploy/load`."""
        return {
            "LOAD_RESULT": str(result),
            "LOAD_WARM_UP": str(self.warm_up),
            "LOAD_PACE": str(self.pace),
            "LOAD_SHIPMENTS": str(self.steps_per_second * _SHIPMENTS),
            "LOAD_WAREHOUSE": SUPPORT,
            "LOAD_WAREHOUSE_PASSWORD": DEMO_PASSWORD,
        }

    def arguments(self, url: str) -> tuple[str, ...]:
        """Return locust's arguments."""
        arrivals = max(1.0, 2 * self.customers / self.warm_up)
        return (
            "--headless",
            "--only-summary",
            f"--locustfile={_FILE}",
            f"--host={url}",
            f"--users={self.customers + 1}",  # and the warehouse
            f"--spawn-rate={arrivals}",
            f"--run-time={round(self.warm_up + self.seconds)}s",
            f"--stop-timeout={_STOP_SECONDS}",
            "--exit-code-on-error=0",
            "--loglevel=WARNING",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """What a run measured: at the customers, and at the processes by name."""

    result: Result
    usages: Mapping[str, Usage]


async def drive(load: Load, system: System) -> Driven:
    """Run the load against a system, to its end.

    Raises:
        SlipwayError: locust is missing or failed.
    """
    await _fill_catalogue(system)
    sampler = Sampler(system.state)
    sampling = asyncio.create_task(_sample(sampler, load))
    try:
        result = await _run_locust(load, system, sampler)
    finally:
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling
    await asyncio.to_thread(sampler.take)
    return Driven(result=result, usages=sampler.usages)


async def _sample(sampler: Sampler, load: Load) -> None:
    await asyncio.sleep(load.warm_up)
    while True:
        await asyncio.to_thread(sampler.take)
        await asyncio.sleep(max(_SOONEST_SECONDS, load.seconds / _SAMPLES))


async def _run_locust(load: Load, system: System, sampler: Sampler) -> Result:
    directory, root = system.state.path, Path.cwd()
    written, log_file = directory / "result.json", directory / "logs" / "locust.log"
    await asyncio.to_thread(written.unlink, missing_ok=True)
    with await asyncio.to_thread(log_file.open, "wb") as log:
        process = await asyncio.create_subprocess_exec(
            root / LOCUST,
            *load.arguments(system.gateway_url),
            env=inherited_environment() | load.environment(written),
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
        )
        sampler.beside["locust"] = process.pid
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if status or not written.exists():
        message = f"locust ended with status {status}. Its log, {log_file}, ends:\n{tail(log_file)}"
        raise SlipwayError(message)
    return Result.model_validate_json(await asyncio.to_thread(written.read_bytes))


async def _fill_catalogue(system: System) -> None:
    """Create products whose stock no run uses up."""
    with refusals_of("The products of the load can't be created"):
        async with SlipwayClient(system.gateway_url, timeout=15, trust_env=False) as client:
            admin = await client.login(
                email=system.settings.first_admin_email,
                password=system.settings.first_admin_password.get_secret_value(),
            )
            for number in range(_PRODUCTS):
                product = NewProduct(
                    sku=f"LOAD-{number:02}",
                    name=f"Load item {number:02}",
                    description="For the load, with a large stock.",
                    price=Money(amount=1000 + number, currency="EUR"),
                    stock=_STOCK,
                )
                await client.create_product(admin.access_token, product)
