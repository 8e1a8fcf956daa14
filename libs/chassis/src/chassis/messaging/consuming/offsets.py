"""Commits the offsets of a member's partitions: all in one request, a few times a second.

An offset only decides which messages are delivered again after a crash, and the inbox drops those.
A request for each batch would often cost more than the batch.
"""

import asyncio
from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

log = structlog.get_logger(__name__)


class Offsets:
    """The offsets of one member that are to be committed.

    Args:
        consumer: the member.
        every: the least number of seconds between two commits.
        limit: the most seconds that a commit may take.
    """

    def __init__(self, *, consumer: AIOKafkaConsumer, every: float, limit: float) -> None:
        self._consumer = consumer
        self._every = every
        self._limit = limit
        self._uncommitted: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._changed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def note(self, partition: TopicPartition, offset: int) -> None:
        """Have `offset` committed with the next commit; messages before it are done."""
        if self._committed.get(partition) != offset:
            self._uncommitted[partition] = offset
            self._changed.set()

    async def run(self) -> None:
        """Commit what is noted until cancelled: at once, but not more often than allowed.

        Raises:
            aiokafka.errors.KafkaError: Kafka refuses a commit.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.commit()
            except TimeoutError as error:
                self._warn(error)
                self._changed.set()
            await asyncio.sleep(self._every)

    async def commit(self) -> None:
        """Commit what is noted now. There is one commit at a time, so that no offset goes back.

        aiokafka repeats a failed request without limit. A repetition after a rebalance carries the
        new generation, and could set back the offset of a partition that another member owns now.
        So a commit ends within `limit`, before ``give_up`` does.

        Raises:
            aiokafka.errors.KafkaError: Kafka refuses the commit.
            TimeoutError: it took longer than `limit`; the offsets are still to be committed.
        """
        async with self._one_at_a_time:
            offsets, self._uncommitted = self._uncommitted, {}
            if not offsets:
                return
            try:
                async with asyncio.timeout(self._limit):
                    await self._consumer.commit(offsets)
            except (CommitFailedError, IllegalStateError) as lost:
                # The partitions have new owners. Our inbox rows make the messages duplicates there.
                log.info("partitions lost", partitions=_names(offsets), error=str(lost))
            except BaseException:  # a commit that was cut off may not have reached Kafka
                self._uncommitted = offsets | self._uncommitted
                raise
            else:
                self._committed |= offsets

    async def give_up(self) -> None:
        """Commit what is noted, then forget it: another member may go on.

        It takes at most twice the limit of a commit, since one may be in progress.
        """
        try:
            await self.commit()
        except (KafkaError, TimeoutError) as error:
            self._warn(error)
        finally:
            self._uncommitted.clear()
            self._committed.clear()

    def _warn(self, error: Exception) -> None:
        names = _names(self._uncommitted)
        log.warning("offsets not committed", partitions=names, error=repr(error))


def _names(offsets: Mapping[TopicPartition, int]) -> list[str]:
    return [f"{one.topic}/{one.partition}" for one in offsets]
