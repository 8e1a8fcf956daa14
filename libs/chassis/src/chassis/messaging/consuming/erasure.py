"""Erases the parked messages of a key: they may contain personal data of an account that ended."""

from chassis.database.unit import Unit
from chassis.messaging.consuming.inbox import DISCARDED, Inbox
from chassis.messaging.consuming.parking import RETRYING, Parking


async def erase_parked(unit: Unit, *, consumer: str, key: str) -> int:
    """Delete the parked messages of a key on all topics, and return their number.

    They take no effect, even if they are delivered again. Do not call it in the transaction of a
    handler: that holds the key's queue in a weaker lock, and could deadlock.

    Args:
        unit: the transaction.
        consumer: the service's name.
        key: the key of the messages.
    """
    parking, inbox = Parking(consumer=consumer), Inbox(consumer=consumer)
    erased = 0
    for queue in await parking.queues_of(unit, key):
        await parking.lock(unit, queue)
        for source, message_id in await parking.empty(unit, queue):
            await inbox.settle(unit, source, message_id, DISCARDED)
            erased += 1
        # The retry loop closes an empty queue, in a separate transaction.
        await parking.reschedule(unit, queue, state=RETRYING)
    return erased
