"""The inbox is pruned once Kafka has dropped the messages, and not of what is parked."""

from datetime import timedelta

from chassis.messaging.consuming.inbox import Inbox

from .counting import SERVICE
from .messages import raised
from .test_parking import Moody

AGE = "UPDATE inbox SET received_at = now() - interval '5 days' WHERE id <> $1"


async def test_rows_older_than_the_retention_go_and_younger_and_parked_ones_stay(offline):
    await offline.runner(Moody(2)).run([*raised(1, counter="b"), *raised(2, 3)])
    await offline.query(AGE, "")
    await offline.runner().run(raised(4, counter="b"))
    pruned = await Inbox(consumer=SERVICE).prune(offline.database, keep=timedelta(days=4))
    assert pruned == 1
    left = "SELECT outcome FROM inbox ORDER BY 1"
    assert await offline.query(left) == [("done",), ("parked",), ("parked",)]


async def test_another_consumers_rows_are_not_pruned(offline):
    await offline.runner().run(raised(1))
    await offline.query(AGE, "")
    assert await Inbox(consumer="other").prune(offline.database, keep=timedelta()) == 0


async def test_many_rows_are_pruned_in_small_transactions(offline):
    await offline.query(
        "INSERT INTO inbox (consumer, source, id, outcome, received_at)"
        " SELECT $1, '/x', n::text, 'done', now() - interval '9 days'"
        " FROM generate_series(1, 10001) AS n",
        SERVICE,
    )
    pruned = await Inbox(consumer=SERVICE).prune(offline.database, keep=timedelta(days=4))
    assert pruned == 10001
    assert await offline.query("SELECT count(*) FROM inbox") == [(0,)]
