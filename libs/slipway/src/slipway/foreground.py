"""The system in the foreground of a terminal: started, shown, stopped by a signal."""

from collections.abc import Awaitable, Callable

from rich.table import Table

from slipway.console import Reporter
from slipway.seed import CUSTOMER, DEMO_PASSWORD, SUPPORT, seed
from slipway.settings import SlipwaySettings
from slipway.signals import until_signal
from slipway.system import Plan, System, run_system


async def run_until_signal(
    plan: Plan, reporter: Reporter, then: Callable[[System], Awaitable[None]]
) -> bool:
    """Start the system, do `then` with it, stop it; a signal ends either early, and in order.

    Returns:
        whether `then` came to its end.
    """
    systems: list[System] = []

    def kill() -> None:
        for system in systems:
            system.kill()

    async def run() -> None:
        async with run_system(plan, reporter=reporter, made=systems.append) as system:
            await seed(system.gateway_url, plan.settings, reporter)
            system.may_restart.set()
            await then(system)

    return await until_signal(run(), say=reporter.say, kill=kill)


def addresses(settings: SlipwaySettings) -> Table:
    """Where everything is, for people."""
    table = Table("what", "where", title="Slipway is up. Ctrl-C stops it; data stays.")
    api = settings.gateway_url
    table.add_row("API", f"{api}/api/v1")
    table.add_row("documentation", f"{api}/docs")
    table.add_row("accounts", f"{settings.first_admin_email}, {SUPPORT}, {CUSTOMER}")
    table.add_row("their password", DEMO_PASSWORD)
    table.add_row("Postgres", f"127.0.0.1:{settings.postgres_port}, database slipway")
    table.add_row("Kafka", settings.brokers)
    table.add_row("Valkey", f"127.0.0.1:{settings.valkey_port}")
    table.add_row("mail sink", f"127.0.0.1:{settings.smtp_port} (read with `slipway mail`)")
    table.add_row("traces", f"{settings.traces_url}/traces/<trace id>")
    table.add_row("logs", str(settings.slipway_state_dir / "logs"))
    return table
