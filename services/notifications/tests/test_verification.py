"""What notifications declares for `slipway verify` can be read, and names what differs."""

from uuid import uuid4

from chassis.database import new_id
from notifications.declaration import SERVICE
from testkit.verifying import differences

INSERT = """
    INSERT INTO notifications (id, user_id, event_id, source_event_id, type, title, body, data)
    VALUES ($1, $2, 1, $3, 'order.placed', 'title', 'body', '{}')
"""
CHOOSE = "INSERT INTO preferences (user_id) VALUES ($1)"


async def test_a_notification_without_any_event_is_named(api_resources, db):
    database = api_resources.database
    assert await differences(SERVICE, database) == []
    notification, user, event = new_id(), uuid4(), str(uuid4())
    await db.execute(INSERT, notification, user, event)
    assert set(await differences(SERVICE, database)) == {
        (str(notification), "change without event"),
        (event, "effect without event"),
    }
    await db.execute(
        "INSERT INTO inbox (consumer, source, id, outcome) VALUES"
        " ('notifications', '/slipway/orders', $1, 'done')",
        event,
    )
    assert (event, "effect without event") not in await differences(SERVICE, database)


async def test_each_table_is_read_to_its_end(api_resources, db):
    for _ in range(5):  # more than two pages
        await db.execute(CHOOSE, uuid4())
    assert await differences(SERVICE, api_resources.database) == []
