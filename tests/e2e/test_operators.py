"""An operator's commands find the running system without arguments, and log in as administrator."""

import json

import pytest

from slipway.operate.seed import DEMO_PASSWORD
from testkit.operating import operate


@pytest.fixture
def slipway(system):
    """Run the command against the system. Return its exit status and its output."""

    async def run(*arguments, login="admin@example.com"):
        return await operate(system.state.path, *arguments, password=DEMO_PASSWORD, login=login)

    return run


async def test_an_administrator_replays_accounts_and_orders_takes_them(slipway):
    status, out, errors = await slipway("replay", "users", "--json")
    assert status == 0, errors
    (replay,) = json.loads(out)
    assert (replay["snapshot"], replay["error"]) == ("user.snapshot.v1", None)
    assert replay["emitted"] >= 3
    listing = ("dead-letters", "list", "--service", "orders", "--type", "user.snapshot.v1")
    status, out, errors = await slipway(*listing, "--json")
    assert (status, json.loads(out)) == (0, []), errors


async def test_an_administrator_verifies_the_audit_logs_of_all_services(slipway):
    status, out, errors = await slipway("audit", "verify", "--json")
    assert status == 0, errors
    reports = json.loads(out)
    assert {name for name, report in reports.items() if report["kept"]} >= {"orders", "users"}
    assert all(report["faults"] == [] for report in reports.values())


async def test_a_customer_is_no_operator(slipway):
    status, _, errors = await slipway(
        "dead-letters", "list", "--service", "orders", login="customer@example.com"
    )
    assert status == 1
    assert "lacks the scope ops:dead-letters. " in " ".join(errors.split())
