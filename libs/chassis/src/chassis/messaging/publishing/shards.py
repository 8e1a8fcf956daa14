"""Divides the keys among several relays, so that one relay at a time publishes a key.

Each key belongs to one of a fixed number of shards. A relay holds a shard by a session advisory
lock, on the same connection that reads and deletes: if the connection is lost, so are the shards.
PostgreSQL releases the locks when the session ends, so the shards of a killed relay are free at
once. A frozen relay keeps its session until a time-out ends it (``relay.session_settings``).
"""

import asyncpg

SHARDS = 16
SHARD_OF_KEY = "(hashtextextended(key, 0) & 15)"

_ALIVE = SHARDS  # all relays share this lock, so that each can count them
_HELD = """
    SELECT objid::bigint AS number, pid = pg_backend_pid() AS ours
    FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
        AND classid = (hashtext($1)::bigint & 4294967295)::oid
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_SHOW = "SELECT pg_advisory_lock_shared(hashtext($1), $2)"
_TAKE = "SELECT pg_try_advisory_lock(hashtext($1), $2)"
_GIVE_BACK = "SELECT pg_advisory_unlock(hashtext($1), number) FROM unnest($2::int[]) AS number"


class Shards:
    """The shards that one relay holds.

    Args:
        connection: the connection that reads and deletes rows.
        name: names the locks; begins with the service's name, as locks are per database.
    """

    def __init__(self, *, connection: asyncpg.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._held: set[int] = set()
        self._shown = False

    @property
    def held(self) -> list[int]:
        """The numbers of the shards that this relay holds."""
        return sorted(self._held)

    @property
    def all_held(self) -> bool:
        """Whether this relay holds every shard, so that it need not filter by key."""
        return len(self._held) == SHARDS

    async def balance(self) -> bool:
        """Take or release shards up to a fair share; return whether that changed anything.

        Call it only when no batch is in flight: another relay may publish a released shard at once.
        """
        if not self._shown:
            await self._connection.execute(_SHOW, self._name, _ALIVE)
            self._shown = True
        rows = await self._connection.fetch(_HELD, self._name)
        alive = sum(row["number"] == _ALIVE for row in rows)
        share = -(-SHARDS // max(alive, 1))
        before = set(self._held)
        if len(self._held) > share:
            surplus = self.held[share:]
            await self._connection.execute(_GIVE_BACK, self._name, surplus)
            self._held.difference_update(surplus)
        else:
            taken = {row["number"] for row in rows}
            await self._take(share, [number for number in range(SHARDS) if number not in taken])
        return self._held != before

    async def _take(self, share: int, free: list[int]) -> None:
        for number in free:
            if len(self._held) >= share:
                return
            if await self._connection.fetchval(_TAKE, self._name, number):
                self._held.add(number)
