"""What orders declares for `slipway verify` fits what its use cases write."""

import pytest

from orders.declaration import SERVICE
from testkit.verifying import differences

from .conftest import ORDERS


@pytest.fixture
async def ordered(client, product, place, support):
    """A product of which pieces were sold, and of which an order was cancelled."""
    made = await product(stock=10)
    kept = (await place((made["id"], 2))).json()
    ended = (await place((made["id"], 3))).json()
    for order, verb in ((kept, "confirm"), (ended, "cancel")):
        answer = await client.post(f"{ORDERS}/{order['id']}/{verb}", headers=support)
        assert answer.status_code == 200, answer.text
    return made["id"], kept["id"]


async def test_orders_and_stock_agree_with_their_events(ordered, api_resources):
    assert ordered
    assert await differences(SERVICE, api_resources.database) == []


async def test_an_altered_stock_is_named(ordered, api_resources, db):
    product, _ = ordered
    await db.execute("UPDATE products SET stock = stock + 1")
    assert await differences(SERVICE, api_resources.database) == [(product, "other level")]


@pytest.mark.parametrize("version", ["version + 1", "version + 2"])
async def test_an_order_changed_by_hand_is_named(ordered, api_resources, db, version):
    _, order = ordered
    await db.execute(f"UPDATE orders SET version = {version} WHERE id::text = $1", order)
    assert await differences(SERVICE, api_resources.database) == [(order, "change without event")]
