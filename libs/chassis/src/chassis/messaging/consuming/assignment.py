"""The partitions that the group assigns to this member, and a task for each of them."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from chassis.cancellation import GuardedTaskGroup
from chassis.messaging.consuming.offsets import Offsets
from chassis.messaging.consuming.partition import PartitionConsumer


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Starts and ends the tasks as partitions are assigned and revoked.

    Args:
        group: runs the tasks; a task that fails ends the group.
        consume: creates the consumer of a partition.
        offsets: commits the offsets of the member.
        on_known: called when partitions were assigned, even if there are none for this member.
        finish_seconds: the time for batches in hand when partitions are revoked; the commit of
            their offsets follows. The group waits for both as long as the session time-out.

    Attributes:
        known: whether partitions were assigned at least once.
    """

    def __init__(
        self,
        *,
        group: GuardedTaskGroup,
        consume: Callable[[TopicPartition], PartitionConsumer[Any]],
        offsets: Offsets,
        on_known: Callable[[], None],
        finish_seconds: float,
    ) -> None:
        self._group = group
        self._consume = consume
        self._offsets = offsets
        self._on_known = on_known
        self._finish_seconds = finish_seconds
        self._tasks: dict[PartitionConsumer[Any], asyncio.Task[None]] = {}
        self._moved = False
        self.known = False

    @property
    def moved(self) -> bool:
        """Whether a message of any partition was done."""
        return self._moved or any(one.moved for one in self._tasks)

    @property
    def partitions(self) -> Mapping[TopicPartition, PartitionConsumer[Any]]:
        """The consumers of the partitions that are assigned now."""
        return {one.partition: one for one in self._tasks}

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish or drop the batches in hand, and commit; then another member gets the partitions.

        If this takes longer than the group waits, the partition's lock and the inbox keep a message
        from taking effect twice.
        """
        del revoked  # it is all partitions, as the group rebalances eagerly
        tasks, self._tasks = self._tasks, {}
        await asyncio.gather(
            *(one.finish(task, seconds=self._finish_seconds) for one, task in tasks.items())
        )
        self._moved = self._moved or any(one.moved for one in tasks)
        await self._offsets.give_up()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Start to consume the assigned partitions."""
        for partition in assigned:
            one = self._consume(partition)
            try:
                self._tasks[one] = self._group.create_task(one.run(), name=str(partition))
            except RuntimeError:  # the consumer is stopping: the group ended its tasks
                return
        self.known = True
        self._on_known()
