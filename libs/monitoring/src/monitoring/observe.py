"""``python -m monitoring.observe``: watch the local system under load, as its operators would.

Starts the system if none runs. Then runs journeys of customers for a while, and fails if a panel of
a dashboard has no data, if an alert fires, or if a process is not scraped.
"""

import asyncio
import secrets
import sys
from pathlib import Path

from rich.console import Console

from client import Address, NewItem, NewOrder, ProblemError, SlipwayClient
from localservers import ServerError
from monitoring.observing import Observed, observe, prometheus
from slipway.console import Reporter
from slipway.guard import run
from slipway.local.foreground import run_until_signal
from slipway.local.plan import local_plan
from slipway.local.readiness import until_ready
from slipway.place import state_directory
from slipway.state import Record

_RULES = Path("deploy/prometheus/rules")
_PORT = 9490
_APART_SECONDS = 1.25
_SECONDS = 45.0
_PASSWORD = secrets.token_urlsafe(16)
_ADDRESS = Address(
    name="Olga Observed", line1="Harbour Road 2", city="Kiel", postal_code="24103", country="DE"
)


async def _journey(client: SlipwayClient) -> None:
    """Do once what customers do: also what is refused."""
    email = f"observed-{secrets.token_hex(8)}@example.com"
    await client.register(email=email, password=_PASSWORD, full_name="Olga Observed")
    session = await client.login(email=email, password=_PASSWORD)
    token = session.access_token
    product = (await client.list_products(limit=1)).items[0]
    async with client.feed(token) as feed:
        order = NewOrder(
            items=[NewItem(product_id=product.id, quantity=1)], shipping_address=_ADDRESS
        )
        placed = await client.place_order(token, order, idempotency_key=secrets.token_hex(8))
        async for _ in feed:
            break
        await client.get_order(token, placed.id)
        await client.list_notifications(token)
        await client.cancel_order(token, placed.id)
    try:
        await client.login(email=email, password="not the password")  # noqa: S106 - a wrong one
    except ProblemError:
        return


async def _load(url: str, seconds: float) -> int:
    """Run journeys, one after another; return their number.

    One begins each `_APART_SECONDS` at most: an address may register 50 accounts a minute.
    """
    loop, journeys = asyncio.get_running_loop(), 0
    begun = loop.time()
    async with SlipwayClient(url) as client:
        while loop.time() < begun + seconds:
            await _journey(client)
            journeys += 1
            await asyncio.sleep(begun + journeys * _APART_SECONDS - loop.time())
    return journeys


async def _watch(record: Record, reporter: Reporter) -> Observed:
    async with prometheus(record.processes, rules=_RULES, port=_PORT) as url:
        reporter.say(f"Prometheus: {url}; load for {_SECONDS:g} s")
        journeys = await _load(record.gateway_url, _SECONDS)
        reporter.say(f"{journeys} journeys of customers")
        return await observe(url)


def main() -> int:
    """Watch the system; return the exit status."""
    reporter, state = Reporter(Console()), state_directory()
    found: list[Observed] = []

    async def watch() -> None:
        found.append(await _watch(await until_ready(state, reporter), reporter))

    if state.is_held():
        run(watch())
    else:
        run(run_until_signal(local_plan(), reporter, lambda _: watch()), ServerError)
    for observed in found:
        _tell(observed, reporter)
    return 0 if found and not (found[0].empty or found[0].firing or found[0].down) else 1


def _tell(observed: Observed, reporter: Reporter) -> None:
    for text in observed.empty:
        reporter.say(f"no data: {text}")
    for text in observed.firing:
        reporter.say(f"fires: {text}")
    for text in observed.down:
        reporter.say(f"not scraped: {text}")
    if not (observed.empty or observed.firing or observed.down):
        reporter.say("every panel has data, no alert fires, every process is scraped")


if __name__ == "__main__":
    sys.exit(main())
