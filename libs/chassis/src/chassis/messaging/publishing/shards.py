"""Which keys a relay publishes, where several relays run: each key has one of them at a time.

Keys fall into a fixed number of shards, and a shard belongs to whoever holds its session advisory
lock on the very connection that reads and deletes: who loses the connection has lost the shards.
PostgreSQL ends them with the session, so a killed relay's are free at once. One that is frozen
keeps its session; ``idle_session_timeout`` on that connection ends it.
"""

import asyncpg

SHARDS = 16
SHARD_OF_KEY = "(hashtextextended(key, 0) & 15)"

_ALIVE = SHARDS  # a lock that all relays share, so that each of them sees how many there are
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
        connection: the one that reads and deletes.
        name: what is shared out; it begins with the service, as locks are per database.
    """

    def __init__(self, *, connection: asyncpg.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._held: set[int] = set()
        self._shown = False

    @property
    def held(self) -> list[int]:
        """The numbers of the shards that are ours."""
        return sorted(self._held)

    @property
    def all_held(self) -> bool:
        """Whether every key is ours, so that none has to be told from others."""
        return len(self._held) == SHARDS

    async def balance(self) -> bool:
        """Take or give back what a fair share asks for; says whether that changed anything.

        To be called when nothing is in flight: what is given back may be sent by others at once.
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
