"""What can be done with sessions: open one with a password, go on with a refresh token."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import structlog

from chassis.auth import TokenSigner
from chassis.auth.passwords import Passwords
from chassis.auth.revocation import MARGIN
from chassis.messaging import Outbox
from contracts.users import SessionRevoked
from users.accounts.models import Account
from users.accounts.repository import AccountRepository
from users.sessions.errors import InvalidCredentials
from users.sessions.models import hash_of, new_refresh_token, scopes_of
from users.sessions.repository import SessionRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """What a log-in or a refresh gives."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scope: str


class Refusal(StrEnum):
    """Why a refresh token is no good.

    It is an answer and not an error: an error would roll back the revocation that comes with it.
    """

    UNKNOWN = "the refresh token is unknown: log in"
    REVOKED = "the session has ended: log in"
    REUSED = "the refresh token was used before, so its session has been ended: log in"
    EXPIRED = "the refresh token has expired: log in"
    INACTIVE = "the account is not active"


class SessionService:
    """The use cases on sessions, within one transaction.

    Args:
        sessions: of the transaction.
        accounts: of the transaction.
        outbox: of the transaction.
        signer: signs access tokens.
        refresh_lifetime: how long a refresh token may lie unused.
    """

    def __init__(
        self,
        *,
        sessions: SessionRepository,
        accounts: AccountRepository,
        outbox: Outbox,
        signer: TokenSigner,
        refresh_lifetime: timedelta,
    ) -> None:
        self._sessions = sessions
        self._accounts = accounts
        self._outbox = outbox
        self._signer = signer
        self._refresh_lifetime = refresh_lifetime

    async def account_of(self, email: str) -> Account | None:
        """Find who wants to log in."""
        return await self._accounts.find_by_email(email)

    async def open(
        self, account_id: UUID, *, verified_hash: str, new_hash: str | None
    ) -> IssuedTokens | None:
        """Open a session of an account whose password was verified against `verified_hash`.

        Answers None where the account has another hash by now. `new_hash` takes its place, where
        there is one.

        Raises:
            InvalidCredentials: the account is gone or not active.
        """
        account = await self._accounts.find(account_id, lock=True)
        if account is None or not account.is_active:
            raise InvalidCredentials
        if account.password_hash != verified_hash:
            return None
        if new_hash is not None:
            await self._accounts.replace_hash(account, new_hash)
        session_id = await self._sessions.open(account.id)
        return await self._issue(session_id, account)

    async def refresh(self, refresh_token: str) -> IssuedTokens | Refusal:
        """Exchange a refresh token for its successor (RFC 6749 §6, RFC 9700 §4.14).

        The family's row is locked first: of parallel refreshes with one token one wins, and the
        next finds it used, which ends the session.
        """
        token_hash = hash_of(refresh_token)
        family = await self._sessions.lock_family(token_hash)
        if family is None:
            return Refusal.UNKNOWN
        if family.revoked_at is not None:
            return Refusal.REVOKED
        token = await self._sessions.token(token_hash)
        if token.used_at is not None:
            await self._sessions.revoke(family.id)
            self._announce(family.user_id, [family.id])
            log.warning("a used refresh token came again", session_id=str(family.id))
            return Refusal.REUSED
        if token.expires_at <= datetime.now(UTC):
            return Refusal.EXPIRED
        account = await self._accounts.find(family.user_id)
        if account is None or not account.is_active:
            return Refusal.INACTIVE
        await self._sessions.mark_used(token_hash)
        return await self._issue(family.id, account)

    async def end_all(self, user_id: UUID) -> None:
        """End all sessions of a user: what their tokens say of the account is no longer true.

        The account's row must be locked, so that no session is opened meanwhile.
        """
        since = datetime.now(UTC) - self._signer.lifetime - MARGIN
        ended = await self._sessions.revoke_all(user_id, issued_since=since)
        if ended:
            self._announce(user_id, ended)

    def _announce(self, user_id: UUID, sids: Sequence[UUID]) -> None:
        self._outbox.add(
            SessionRevoked(user_id=user_id, sids=list(sids), revoked_at=datetime.now(UTC))
        )

    async def _issue(self, session_id: UUID, account: Account) -> IssuedTokens:
        refresh_token = new_refresh_token()
        await self._sessions.add_token(
            session_id=session_id,
            token_hash=hash_of(refresh_token),
            expires_at=datetime.now(UTC) + self._refresh_lifetime,
        )
        scopes = scopes_of(account.roles)
        access_token = self._signer.sign(
            subject=account.id, session=session_id, roles=account.roles, scopes=scopes
        )
        return IssuedTokens(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_in=int(self._signer.lifetime.total_seconds()),
            scope=" ".join(sorted(scopes)),
        )


class LogIn:
    """The log-in, in two transactions with Argon2 between them: no connection waits for a hash.

    Between the two the account may change. One that was deleted or deactivated meanwhile is
    refused. Where its hash was replaced (a new password, or a parallel log-in that renewed the
    parameters) the password is verified again, against the new one. New roles are taken as they
    are then.

    Args:
        transaction: opens a transaction and gives the use cases on it.
        passwords: verifies off the event loop.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[SessionService]],
        passwords: Passwords,
    ) -> None:
        self._transaction = transaction
        self._passwords = passwords

    async def run(self, *, email: str, password: str) -> IssuedTokens:
        """Open a session.

        Raises:
            InvalidCredentials: also, and after the same time, where there is no such account.
        """
        tokens: IssuedTokens | None = None
        while tokens is None:  # again only where the hash was replaced in between
            tokens = await self._attempt(email, password)
        return tokens

    async def _attempt(self, email: str, password: str) -> IssuedTokens | None:
        async with self._transaction() as sessions:
            account = await sessions.account_of(email)
        stored = None if account is None else account.password_hash
        good = await self._passwords.verify(password, stored)
        if account is None or stored is None or not good:
            raise InvalidCredentials
        outdated = self._passwords.needs_rehash(stored)
        new_hash = await self._passwords.hash(password) if outdated else None
        async with self._transaction() as sessions:
            return await sessions.open(account.id, verified_hash=stored, new_hash=new_hash)
