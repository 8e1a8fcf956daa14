"""All SQL on sessions and refresh tokens."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.database import new_id
from users.sessions.models import LoginSession, RefreshToken


class SessionRepository:
    """The sessions of one transaction.

    Args:
        session: the transaction.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, user_id: UUID) -> UUID:
        """Insert a session of a user; answers its id."""
        session_id = new_id()
        await self._session.execute(insert(LoginSession).values(id=session_id, user_id=user_id))
        return session_id

    async def lock_family(self, token_hash: bytes) -> LoginSession | None:
        """Find the session of a token, used or not, and lock it; None for an unknown token."""
        return await self._session.scalar(
            select(LoginSession)
            .join(RefreshToken, RefreshToken.session_id == LoginSession.id)
            .where(RefreshToken.token_hash == token_hash)
            .with_for_update(of=LoginSession)
        )

    async def token(self, token_hash: bytes) -> RefreshToken:
        """Give a token whose family is locked; a statement of its own sees what came before."""
        statement = select(RefreshToken).where(RefreshToken.token_hash == token_hash)
        return (await self._session.scalars(statement)).one()

    async def mark_used(self, token_hash: bytes) -> None:
        """Write down that a token of a locked family has its successor."""
        await self._session.execute(
            update(RefreshToken)
            .where(RefreshToken.token_hash == token_hash)
            .values(used_at=func.now())
            .execution_options(synchronize_session=False)
        )

    async def add_token(self, *, session_id: UUID, token_hash: bytes, expires_at: datetime) -> None:
        """Insert the newest refresh token of a session."""
        await self._session.execute(
            insert(RefreshToken).values(
                token_hash=token_hash, session_id=session_id, expires_at=expires_at
            )
        )

    async def revoke(self, session_id: UUID) -> None:
        """End a session; the time of its first revocation stays."""
        await self._revoke(LoginSession.id == session_id)

    async def revoke_all(self, user_id: UUID, *, issued_since: datetime) -> Sequence[UUID]:
        """End all sessions of a user; answers those that were issued tokens since then."""
        await self._revoke(LoginSession.user_id == user_id)
        recent = (
            select(LoginSession.id)
            .join(RefreshToken, RefreshToken.session_id == LoginSession.id)
            .where(LoginSession.user_id == user_id, RefreshToken.created_at >= issued_since)
            .order_by(LoginSession.id)
            .distinct()
        )
        return (await self._session.scalars(recent)).all()

    async def _revoke(self, which: ColumnElement[bool]) -> None:
        await self._session.execute(
            update(LoginSession)
            .where(which, LoginSession.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .execution_options(synchronize_session=False)
        )
