"""Enqueues jobs in the writers' transactions, and notes each one in the same transaction."""

import random
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from chassis.database.unit import Unit
from chassis.jobs import Jobs, Priority

from .job_kinds import Batched, Inside, Outside

_DOOMED = 0.02
_KEYED = 0.15
_DELAYED = 0.1
_TOGETHER = 0.2
_KEYS = 10
_MANY = 5


async def enqueue(unit: Unit, jobs: Jobs, chance: random.Random) -> None:
    """Enqueue a job of any kind, or several at once.

    It must be the transaction's last work: another enqueue of the same unique key waits for it.
    """
    kind = chance.choice([Inside, Batched, Outside])
    keyed = chance.random() < _KEYED
    key = f"key-{chance.randrange(_KEYS)}" if keyed else None
    together = chance.random() < _TOGETHER and not keyed
    batch = [
        kind(name=uuid4(), doomed=chance.random() < _DOOMED)
        for _ in range(_MANY if together else 1)
    ]
    priority = chance.choice(list(Priority))
    delay = timedelta(seconds=chance.random() if chance.random() < _DELAYED else 0)
    ids: list[int] | list[int | None]
    if together:
        ids = await jobs.enqueue_many(batch, priority=priority, delay=delay)
    else:
        [arguments] = batch
        ids = [await jobs.enqueue(arguments, unique_key=key, priority=priority, delay=delay)]
    for arguments, job_id in zip(batch, ids, strict=True):
        await unit.session.execute(
            text(
                "INSERT INTO enqueued (name, kind, unique_key, doomed, job_id)"
                " VALUES (:name, :kind, :key, :doomed, :job_id)"
            ),
            {
                "name": arguments.name,
                "kind": kind.kind,
                "key": key,
                "doomed": arguments.doomed,
                "job_id": job_id,
            },
        )
