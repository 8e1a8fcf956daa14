"""All SQL on log-in sessions and refresh tokens."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, update

from chassis.database import new_id
from chassis.database.unit import Unit
from chassis.paging import ListOrder, PageRequest, PageRows, Position, TimePosition, each_page
from users.sessions.models import (
    ENDED_SESSIONS_KEPT,
    REPEATABLE,
    REUSE_SEEN,
    Client,
    LogInSession,
    RefreshToken,
)


class SessionPosition(Position):
    """The position of a session in the list of a user's sessions."""

    id: UUID


_OLDEST_FIRST = ListOrder(SessionPosition, LogInSession.id)
_NO_SUCCESSOR = {"successor": None, "successor_of": None, "successor_until": None}
_NO_CLIENT = {"address": None, "user_agent": None}
_NEWEST_FIRST = ListOrder(TimePosition, LogInSession.created_at, LogInSession.id, descending=True)


class SessionRepository:
    """The log-in sessions of one transaction.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def open(
        self, user_id: UUID, *, methods: Sequence[str], client: Client, expires_at: datetime
    ) -> LogInSession:
        """Insert a session of a user, and return it."""
        statement = (
            insert(LogInSession)
            .values(
                id=new_id(),
                user_id=user_id,
                methods=list(methods),
                address=client.address,
                user_agent=client.user_agent,
                expires_at=expires_at,
            )
            .returning(LogInSession)
        )
        return (await self._unit.session.scalars(statement)).one()

    async def page(
        self, user_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[LogInSession, TimePosition]:
        """Return a page of a user's sessions that have neither ended nor expired, newest first."""
        alive = select(LogInSession).where(*_live(user_id))
        return await _NEWEST_FIRST.page(self._unit.session, alive, wanted)

    async def lock(self, session_id: UUID) -> LogInSession | None:
        """Lock and return a session, or return None."""
        return await self._unit.session.scalar(
            select(LogInSession).where(LogInSession.id == session_id).with_for_update()
        )

    async def lock_family(self, token_hash: bytes) -> LogInSession | None:
        """Lock and return the session of a token, used or not. None for an unknown token."""
        return await self._unit.session.scalar(
            select(LogInSession)
            .join(RefreshToken, RefreshToken.session_id == LogInSession.id)
            .where(RefreshToken.token_hash == token_hash)
            .with_for_update(of=LogInSession)
        )

    async def token(self, token_hash: bytes) -> RefreshToken:
        """Return a token whose family is locked.

        A separate statement, so that it sees what was committed before the lock was granted.
        """
        statement = select(RefreshToken).where(RefreshToken.token_hash == token_hash)
        return (await self._unit.session.scalars(statement)).one()

    async def mark_used(self, token_hash: bytes) -> None:
        """Mark a token of a locked family as used."""
        await self._unit.session.execute(
            update(RefreshToken)
            .where(RefreshToken.token_hash == token_hash)
            .values(used_at=func.now())
            .execution_options(synchronize_session=False)
        )

    async def continue_with(
        self, session_id: UUID, *, of: bytes, sealed: bytes, client: Client, expires_at: datetime
    ) -> None:
        """Record a refresh of a locked family, and store its newest token for REPEATABLE.

        The newest token replaces the stored one.

        Args:
            session_id: the family's session.
            of: the hash of the token that was exchanged.
            sealed: the newest token, encrypted for the holder of the exchanged one.
            client: the client that refreshed.
            expires_at: when the newest token expires.
        """
        await self._unit.session.execute(
            update(LogInSession)
            .where(LogInSession.id == session_id)
            .values(
                successor=sealed,
                successor_of=of,
                successor_until=func.now() + REPEATABLE,
                address=client.address,
                user_agent=client.user_agent,
                last_used_at=func.now(),
                expires_at=expires_at,
            )
            .execution_options(synchronize_session=False)
        )

    async def kept_successor(self, session_id: UUID, *, of: bytes) -> bytes | None:
        """Return the sealed successor of a token if it is unused and has not expired, else None.

        Both times are PostgreSQL's start times of the transactions. So neither another machine's
        clock nor the wait for the family's lock affects the result.
        """
        return await self._unit.session.scalar(
            select(LogInSession.successor).where(
                LogInSession.id == session_id,
                LogInSession.successor_of == of,
                LogInSession.successor_until > func.now(),
            )
        )

    async def erase_successors(self, *, limit: int) -> int:
        """Erase expired successors, at most `limit`, and return how many.

        A family that is locked is skipped until the next run.
        """
        passed = (
            select(LogInSession.id)
            .where(LogInSession.successor.is_not(None), LogInSession.successor_until <= func.now())
            .order_by(LogInSession.successor_until)
            .limit(limit)
            .with_for_update(key_share=True, skip_locked=True)
        )
        erased = await self._unit.session.scalars(
            update(LogInSession)
            .where(LogInSession.id.in_(passed))
            .values(_NO_SUCCESSOR)
            .returning(LogInSession.id)
            .execution_options(synchronize_session=False)
        )
        return len(erased.all())

    async def delete_expired_tokens(self, *, limit: int) -> int:
        """Delete tokens that expired more than REUSE_SEEN ago, at most `limit`; return how many.

        A session without tokens can't be continued, so it is deleted as well. As elsewhere, the
        session is locked before its tokens: a deletion of the account locks them in that order.
        """
        expired = (
            select(RefreshToken.token_hash)
            .join(LogInSession, LogInSession.id == RefreshToken.session_id)
            .where(RefreshToken.expires_at < func.now() - REUSE_SEEN)
            .order_by(RefreshToken.expires_at)
            .limit(limit)
            .with_for_update(of=LogInSession, skip_locked=True)
        )
        deleted = await self._unit.session.scalars(
            delete(RefreshToken)
            .where(RefreshToken.token_hash.in_(expired))
            .returning(RefreshToken.session_id)
            .execution_options(synchronize_session=False)
        )
        families = deleted.all()
        await self._unit.session.execute(
            delete(LogInSession)
            .where(
                LogInSession.id.in_(set(families)),
                ~exists().where(RefreshToken.session_id == LogInSession.id),
            )
            .execution_options(synchronize_session=False)
        )
        return len(families)

    async def delete_ended(self, *, limit: int) -> int:
        """Delete sessions that were revoked more than ENDED_SESSIONS_KEPT ago, with their tokens.

        Returns:
            How many sessions were deleted, `limit` at most.
        """
        ended = (
            select(LogInSession.id)
            .where(
                LogInSession.revoked_at.is_not(None),
                LogInSession.revoked_at < func.now() - ENDED_SESSIONS_KEPT,
            )
            .order_by(LogInSession.revoked_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        deleted = await self._unit.session.scalars(
            delete(LogInSession)
            .where(LogInSession.id.in_(ended))
            .returning(LogInSession.id)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())

    async def add_token(self, *, session_id: UUID, token_hash: bytes, expires_at: datetime) -> None:
        """Insert the newest refresh token of a session."""
        await self._unit.session.execute(
            insert(RefreshToken).values(
                token_hash=token_hash, session_id=session_id, expires_at=expires_at
            )
        )

    async def revoke(self, session_id: UUID) -> None:
        """End a session. If it has already ended, its `revoked_at` stays."""
        await self._revoke(LogInSession.id == session_id)

    async def revoke_all(
        self, user_id: UUID, *, but: UUID | None, issued_since: datetime
    ) -> Sequence[UUID]:
        """End the sessions of a user. Return those with tokens issued since `issued_since`.

        Args:
            user_id: the user.
            but: the session that stays; None ends all.
            issued_since: older access tokens have expired.
        """
        ending = LogInSession.user_id == user_id
        if but is not None:
            ending &= LogInSession.id != but
        await self._revoke(ending)
        recent = (
            select(LogInSession.id)
            .join(RefreshToken, RefreshToken.session_id == LogInSession.id)
            .where(ending, RefreshToken.created_at >= issued_since)
            .order_by(LogInSession.id)
            .distinct()
        )
        return (await self._unit.session.scalars(recent)).all()

    async def revoke_oldest(self, newest: LogInSession, *, keep: int) -> Sequence[UUID]:
        """End the oldest live sessions of an account beyond `keep`, and return their ids.

        The account's row must be locked, so that no other session is opened at the same time.

        Args:
            newest: the session that was just opened. It stays, although others may have a later
                time: a transaction's time is that of its start, before it waited for the lock.
            keep: how many live sessions stay, with the newest.
        """
        surplus = (
            select(LogInSession.id)
            .where(*_live(newest.user_id), LogInSession.id != newest.id)
            .order_by(LogInSession.created_at.desc(), LogInSession.id.desc())
            .offset(keep - 1)
        )
        return await self._revoke(LogInSession.id.in_(surplus))

    async def each_of(self, user_id: UUID) -> AsyncIterator[LogInSession]:
        """Yield all sessions of a user, also those that ended, oldest first."""
        statement = select(LogInSession).where(LogInSession.user_id == user_id)

        async def read(
            wanted: PageRequest[SessionPosition],
        ) -> PageRows[LogInSession, SessionPosition]:
            return await _OLDEST_FIRST.page(self._unit.session, statement, wanted)

        async for page in each_page(read):
            for session in page:
                yield session

    async def _revoke(self, which: ColumnElement[bool]) -> Sequence[UUID]:
        """End sessions that have not ended, and return their ids."""
        ended = await self._unit.session.scalars(
            update(LogInSession)
            .where(which, LogInSession.revoked_at.is_(None))
            .values(revoked_at=func.now(), **_NO_SUCCESSOR, **_NO_CLIENT)
            .returning(LogInSession.id)
            .execution_options(synchronize_session=False)
        )
        return ended.all()


def _live(user_id: UUID) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a user's sessions that have neither ended nor expired."""
    return (
        LogInSession.user_id == user_id,
        LogInSession.revoked_at.is_(None),
        or_(LogInSession.expires_at.is_(None), LogInSession.expires_at > func.now()),
    )
