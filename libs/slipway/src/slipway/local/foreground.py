"""The system in the foreground of a terminal: started, shown, stopped by a signal."""

from collections.abc import Awaitable, Callable

from rich.table import Table

from slipway.console import Reporter
from slipway.local.signals import until_signal
from slipway.local.system import Plan, System, run_system
from slipway.operate.seed import CUSTOMER, DEMO_PASSWORD, SUPPORT
from slipway.settings import SlipwaySettings


async def run_until_signal(
    plan: Plan, reporter: Reporter, then: Callable[[System], Awaitable[None]]
) -> bool:
    """Start the system, run `then` with it, and stop it; a signal stops it early, but cleanly.

    Returns:
        whether `then` completed.
    """
    systems: list[System] = []

    def kill() -> None:
        for system in systems:
            system.kill()

    async def run() -> None:
        async with run_system(plan, reporter=reporter, made=systems.append) as system:
            system.may_restart.set()
            await then(system)

    return await until_signal(run(), say=reporter.say, kill=kill)


def addresses(settings: SlipwaySettings) -> Table:
    """Return a table of all addresses, for people."""
    table = Table("what", "where", title="Slipway is up. Ctrl-C stops it; data stays.")
    api = settings.gateway_url
    table.add_row("API", f"{api}/api/v1")
    table.add_row("documentation", f"{api}/docs")
    accounts = [SUPPORT, CUSTOMER]
    if settings.first_admin_password.get_secret_value() == DEMO_PASSWORD:
        accounts.insert(0, settings.first_admin_email)
    else:  # a password of one's own is not printed
        table.add_row("administrator", f"{settings.first_admin_email}, FIRST_ADMIN_PASSWORD")
    table.add_row("accounts", ", ".join(accounts))
    table.add_row("their password", DEMO_PASSWORD)
    table.add_row(
        "Postgres", f"127.0.0.1:{settings.postgres_port}, database slipway (`slipway db url`)"
    )
    table.add_row("Kafka", settings.brokers)
    table.add_row("Valkey", f"127.0.0.1:{settings.valkey_port}")
    table.add_row("mail sink", f"127.0.0.1:{settings.smtp_port} (read with `slipway mail`)")
    table.add_row("traces", f"{settings.traces_url}/traces/<trace id>")
    table.add_row("logs", str(settings.slipway_state_dir / "logs"))
    return table
