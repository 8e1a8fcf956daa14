"""The retention of log-in sessions: delete or erase what is no longer needed (see Retention)."""

from chassis.database.unit import Unit
from users.sessions.repository import SessionRepository


async def erase_successors(unit: Unit, limit: int) -> int:
    """Erase kept successors that were not used in time, and return how many.

    Otherwise an attacker with a stolen predecessor and a copy of the database could decrypt the
    family's newest token for as long as it is valid.
    """
    return await SessionRepository(unit).erase_successors(limit=limit)


async def prune_refresh_tokens(unit: Unit, limit: int) -> int:
    """Delete tokens whose reuse is no longer watched for, and sessions without any token left."""
    return await SessionRepository(unit).delete_expired_tokens(limit=limit)


async def prune_ended_sessions(unit: Unit, limit: int) -> int:
    """Delete sessions that ended over ENDED_SESSIONS_KEPT ago, with their tokens."""
    return await SessionRepository(unit).delete_ended(limit=limit)
