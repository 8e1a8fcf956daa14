"""Orders are counted once they are committed, with few series."""

import pytest
from prometheus_client import CollectorRegistry

from orders.catalog.models import Money
from orders.orders.models import TRANSITIONS, OrderMetrics, OrderStatus
from testkit.logs import own_logs

from .conftest import ORDERS


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_an_order_is_counted_with_its_value(registry):
    metrics = OrderMetrics(registry)
    metrics.placed(Money(3490, "EUR"))
    metrics.placed(Money(10, "EUR"))
    metrics.changed(OrderStatus.SHIPPED)
    assert registry.get_sample_value("orders_placed_total") == 2
    assert registry.get_sample_value("orders_placed_value_total", {"currency": "EUR"}) == 3500
    assert registry.get_sample_value("orders_changed_total", {"status": "shipped"}) == 1
    for status in TRANSITIONS:
        assert registry.get_sample_value("orders_changed_total", {"status": status.value}) in {0, 1}


def test_however_many_currencies_there_are_they_have_few_series(registry):
    metrics = OrderMetrics(registry)
    for number in range(100):
        metrics.placed(Money(1, f"A{chr(65 + number // 26)}{chr(65 + number % 26)}"))
    (family,) = [one for one in registry.collect() if one.name == "orders_placed_value"]
    totals = [sample for sample in family.samples if sample.name.endswith("_total")]
    assert len(totals) == 17
    assert sum(sample.value for sample in totals) == 100


async def test_only_a_transition_that_is_committed_is_an_event(client, support, product, place):
    made = await product("S-EVENT", stock=10)
    order = (await place((made["id"], 3))).json()
    with own_logs() as entries:
        for verb in ("ship", "confirm"):  # a placed order can't be shipped
            await client.post(f"{ORDERS}/{order['id']}/{verb}", headers=support)
    changes = [line for line in entries if line["event"] == "order changed"]
    assert [(line["order_id"], line["status"]) for line in changes] == [(order["id"], "confirmed")]


async def test_an_order_is_counted_only_if_it_was_placed(product, place, monkeypatch):
    counted = []
    monkeypatch.setattr(OrderMetrics, "placed", lambda _, total: counted.append(total))
    made = await product("S-COUNTED", stock=10)
    refused = await place((made["id"], 11))
    assert refused.status_code == 409
    placed = await place((made["id"], 3))
    assert placed.status_code == 201
    assert [total.amount for total in counted] == [placed.json()["total"]["amount"]]
