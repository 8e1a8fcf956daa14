"""The partitions that the group gives to this member, and a task for each of them."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from chassis.messaging.consuming.partition import PartitionConsumer


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Starts and ends the tasks as partitions come and go.

    Args:
        group: in which the tasks live; one that fails ends it.
        consume: makes what consumes a partition.
        on_known: called when the group has given this member its partitions, even if it is none.
        finish_seconds: how long what is in hand may take when partitions are taken away; the
            member is silent meanwhile, and must not be given up for that.

    Attributes:
        known: whether that has happened.
    """

    def __init__(
        self,
        *,
        group: asyncio.TaskGroup,
        consume: Callable[[TopicPartition], PartitionConsumer[Any]],
        on_known: Callable[[], None],
        finish_seconds: float,
    ) -> None:
        self._group = group
        self._consume = consume
        self._on_known = on_known
        self._finish_seconds = finish_seconds
        self._tasks: dict[PartitionConsumer[Any], asyncio.Task[None]] = {}
        self.known = False

    @property
    def partitions(self) -> Mapping[TopicPartition, PartitionConsumer[Any]]:
        """Who consumes which partition now."""
        return {one.partition: one for one in self._tasks}

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish or drop what is in hand; only then may another member begin.

        Should this take longer than the group waits, the partition's lock and the inbox keep the
        two from doing anything twice.
        """
        del revoked  # all of them: the group rebalances eagerly
        tasks, self._tasks = self._tasks, {}
        await asyncio.gather(
            *(one.finish(task, seconds=self._finish_seconds) for one, task in tasks.items())
        )

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Begin to consume what this member was given."""
        for partition in assigned:
            one = self._consume(partition)
            work = one.run()
            try:
                self._tasks[one] = self._group.create_task(work, name=str(partition))
            except RuntimeError:  # the consumer is stopping: the group ended its tasks
                work.close()
                return
        self.known = True
        self._on_known()
