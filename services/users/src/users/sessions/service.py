"""Use cases of log-in sessions: open one, continue it with a refresh token, list and end them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import batched
from uuid import UUID

import structlog

from chassis.actor import Actor, ActorKind
from chassis.audit import AuditLog
from chassis.auth import SessionGrant, TokenSigner
from chassis.auth.opaque import new_token, token_hash
from chassis.auth.revocation import MARGIN
from chassis.messaging import Outbox
from chassis.paging import PageRequest, PageRows, TimePosition
from contracts.users import SessionRevoked
from users.accounts.models import Account
from users.accounts.repository import AccountRepository
from users.one_time_tokens.models import Purpose
from users.one_time_tokens.repository import OneTimeTokenRepository
from users.sessions.errors import SessionNotFound
from users.sessions.models import (
    SIDS_PER_EVENT,
    UNKNOWN_CLIENT,
    Client,
    LogInSession,
    RefreshToken,
    SessionLimits,
    scopes_of,
    seal,
    unseal,
)
from users.sessions.repository import SessionRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """The result of a log-in or a refresh."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    scope: str


class Refusal(StrEnum):
    """Why a refresh token is rejected.

    It is returned and not raised: an exception would roll back the revocation of a reused token's
    session.
    """

    UNKNOWN = "The refresh token is unknown. Log in."
    REVOKED = "The log-in session has ended. Log in."
    REUSED = "The refresh token was used before, so its log-in session has been ended. Log in."
    EXPIRED = "The refresh token or its log-in session has expired. Log in."
    INACTIVE = "The account is deactivated. Ask support to reactivate it."


def announce_ended(outbox: Outbox, user_id: UUID, sids: Sequence[UUID]) -> None:
    """Publish that sessions or API keys of a user ended, SIDS_PER_EVENT in each event.

    In one event, the ids of about 23,000 sessions would exceed the largest message that the broker
    accepts. The event would then never be sent.
    """
    now = datetime.now(UTC)
    for chunk in batched(sids, SIDS_PER_EVENT):
        outbox.add(SessionRevoked(user_id=user_id, sids=list(chunk), revoked_at=now))


class SessionRevoker:
    """Ends sessions and publishes it, within one transaction. It needs no private key.

    Args:
        sessions: the transaction's repository.
        tokens: the transaction's one-time tokens.
        outbox: the transaction's outbox.
        token_lifetime: the lifetime of access tokens.
    """

    def __init__(
        self,
        *,
        sessions: SessionRepository,
        tokens: OneTimeTokenRepository,
        outbox: Outbox,
        token_lifetime: timedelta,
    ) -> None:
        self._sessions = sessions
        self._tokens = tokens
        self._outbox = outbox
        self._token_lifetime = token_lifetime

    async def revoke(self, session: LogInSession, *, by_itself: bool) -> None:
        """End one session. Its row must be locked.

        A change of address that waits for its confirmation ends, too, as in ``revoke_all``. It
        stays if the session's own holder logs out, who may do so before the mail arrives.

        Args:
            session: the session.
            by_itself: whether a token of this session asked for its end.
        """
        if not by_itself:
            await self._tokens.delete_all(session.user_id, Purpose.CHANGE_EMAIL)
        await self._sessions.revoke(session.id)
        announce_ended(self._outbox, session.user_id, [session.id])

    async def end_change_of(self, session: LogInSession) -> bool:
        """End a change of address that waits, and return whether there was one.

        The session's row must be locked. It has ended, and may have asked for the change before.
        """
        return await self._tokens.delete_all(session.user_id, Purpose.CHANGE_EMAIL) > 0

    async def revoke_oldest(self, newest: LogInSession, *, keep: int) -> Sequence[UUID]:
        """End the oldest live sessions of a user beyond `keep`, and return their ids.

        The account's row must be locked, so that no session is opened during the call.

        Args:
            newest: the session that was just opened; it stays.
            keep: how many live sessions stay, with the newest.
        """
        ended = await self._sessions.revoke_oldest(newest, keep=keep)
        announce_ended(self._outbox, newest.user_id, ended)
        return ended

    async def revoke_all(self, user_id: UUID, *, but: UUID | None = None) -> None:
        """End all sessions of a user, because their tokens no longer describe the account.

        The account's row must be locked, so that no session is opened during the call.

        A change of address that waits for its confirmation ends, too. Otherwise a thief who began
        one would get the account with it, although its owner has ended the thief's session.

        Args:
            user_id: the user.
            but: the session that stays; None ends all.
        """
        since = datetime.now(UTC) - self._token_lifetime - MARGIN
        ended = await self._sessions.revoke_all(user_id, but=but, issued_since=since)
        # After the sessions, as in `revoke`, so that the two can't deadlock.
        await self._tokens.delete_all(user_id, Purpose.CHANGE_EMAIL)
        announce_ended(self._outbox, user_id, ended)


class SessionService:
    """The use cases on log-in sessions, within one transaction.

    Args:
        sessions: the transaction's sessions.
        accounts: the transaction's accounts.
        revoker: ends sessions in the transaction.
        audit: the transaction's audit log.
        signer: signs access tokens.
        limits: how long sessions live, and how many an account has.
    """

    def __init__(
        self,
        *,
        sessions: SessionRepository,
        accounts: AccountRepository,
        revoker: SessionRevoker,
        audit: AuditLog,
        signer: TokenSigner,
        limits: SessionLimits,
    ) -> None:
        self._sessions = sessions
        self._accounts = accounts
        self._revoker = revoker
        self._audit = audit
        self._signer = signer
        self._limits = limits

    async def open(
        self,
        account: Account,
        *,
        methods: tuple[str, ...] = ("pwd",),
        client: Client = UNKNOWN_CLIENT,
    ) -> IssuedTokens:
        """Open a session of a locked account, and return its tokens.

        If the account has more live sessions than it may have, the oldest ends. Otherwise a client
        that logs in for each request would fill the table, and could not be noticed by its user.

        Args:
            account: the account.
            methods: how its user logged in, as RFC 8176 names it.
            client: the client that logged in.
        """
        now = datetime.now(UTC)
        expires_at = self._limits.expiry(now, logged_in_at=now)
        session = await self._sessions.open(
            account.id, methods=methods, client=client, expires_at=expires_at
        )
        refresh_token = await self._new_token(session.id, expires_at)
        owner = _owner(session, client)
        self._record("session.opened", session, by=owner, details={"methods": list(methods)})
        await self._end_oldest(session, by=owner)
        return self._issued(session, account, refresh_token)

    async def page(
        self, user_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[LogInSession, TimePosition]:
        """Return a page of a user's sessions that have neither ended nor expired, newest first."""
        return await self._sessions.page(user_id, wanted)

    async def end(self, session_id: UUID, *, by: Actor) -> None:
        """End a session of the actor. If it has already ended, do nothing.

        Raises:
            SessionNotFound: there is no such session, or it is another user's.
        """
        session = await self._sessions.lock(session_id)
        if session is None or session.user_id != by.user_id:
            message = f"You have no log-in session {session_id}. Take the id from the list."
            raise SessionNotFound(message)
        await self._end(session, by=by)

    async def end_all(self, user_id: UUID, *, by: Actor) -> None:
        """End all sessions of a user. A parallel log-in opens its session before or after it."""
        await self._accounts.find(user_id, lock=True)
        await self._revoker.revoke_all(user_id)
        self._audit.append("session.all_ended", actor=by, subject=f"user:{user_id}")

    async def revoke_refresh_token(self, token: str, *, client: Client = UNKNOWN_CLIENT) -> None:
        """End the session of a refresh token, used or not (RFC 7009 §2.1).

        An unknown token changes nothing (§2.2): the caller can't use it anyway.
        """
        session = await self._sessions.lock_family(token_hash(token))
        if session is not None:
            await self._end(session, by=_owner(session, client))

    async def revoke_session(self, session_id: UUID, *, client: Client = UNKNOWN_CLIENT) -> None:
        """End the session of a valid access token; see ``revoke_refresh_token``."""
        session = await self._sessions.lock(session_id)
        if session is not None:
            await self._end(session, by=_owner(session, client))

    async def refresh(
        self, refresh_token: str, *, client: Client = UNKNOWN_CLIENT
    ) -> IssuedTokens | Refusal:
        """Exchange a refresh token for its successor (RFC 6749 §6, RFC 9700 §4.14).

        The family's row is locked first, so that only one of several parallel refreshes with one
        token creates the successor. The others get the same successor, and so does a request that
        is repeated because its response was lost: within ``REPEATABLE``, as long as the successor
        is unused. Any other use of a used token ends the session.
        """
        presented = token_hash(refresh_token)
        family = await self._sessions.lock_family(presented)
        if family is None:
            return Refusal.UNKNOWN
        token = await self._sessions.token(presented)
        if family.revoked_at is not None:
            await self._check_ended(family, token, client)
            return Refusal.REVOKED
        successor: str | None = None
        if token.used_at is not None:
            successor = await self._kept_successor(family, refresh_token)
            if successor is None:
                await self._end_reused(family, client)
                return Refusal.REUSED
        if self._is_over(family, token):
            return Refusal.EXPIRED
        account = await self._accounts.find(family.user_id)
        if account is None or not account.is_active:
            return Refusal.INACTIVE
        if successor is None:
            successor = await self._succeed(family, refresh_token, client)
        return self._issued(family, account, successor)

    def _is_over(self, family: LogInSession, token: RefreshToken) -> bool:
        """Return whether a token was unused for too long, or its log-in is too long ago.

        The time of the log-in is compared as well: the setting may have become shorter since the
        token was issued.
        """
        now = datetime.now(UTC)
        unused = token.used_at is None and token.expires_at <= now
        return unused or family.created_at + self._limits.lifetime <= now

    async def _end_oldest(self, newest: LogInSession, *, by: Actor) -> None:
        for ended in await self._revoker.revoke_oldest(newest, keep=self._limits.per_account):
            self._audit.append(
                "session.ended",
                actor=by,
                subject=f"user:{newest.user_id}",
                details={"session": str(ended), "reason": "too many sessions"},
            )

    async def _end_reused(self, family: LogInSession, client: Client) -> None:
        """End a session of which a used token was presented: by a thief, or by its owner later.

        Nobody can know which of the two, so the actor on record is the system.
        """
        await self._revoker.revoke(family, by_itself=False)
        self._report_reuse(family, client)

    async def _check_ended(self, family: LogInSession, token: RefreshToken, client: Client) -> None:
        """End a change of address if a used token of an ended session is presented.

        The holder of a newer token, perhaps a thief, may have logged out. Without that, the reuse
        would have ended the session, and with it the change.
        """
        if token.used_at is not None and await self._revoker.end_change_of(family):
            self._report_reuse(family, client)

    def _report_reuse(self, family: LogInSession, client: Client) -> None:
        log.warning("refresh token reused", session_id=str(family.id))
        self._record("session.reuse_detected", family, by=client.unidentified_actor())

    async def _end(self, session: LogInSession, *, by: Actor) -> None:
        if session.revoked_at is None:
            await self._revoker.revoke(session, by_itself=by.session_id == session.id)
            self._record("session.ended", session, by=by)

    def _record(
        self,
        action: str,
        session: LogInSession,
        *,
        by: Actor,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self._audit.append(
            action,
            actor=by,
            subject=f"user:{session.user_id}",
            details={"session": str(session.id), **(details or {})},
        )

    async def _kept_successor(self, family: LogInSession, refresh_token: str) -> str | None:
        sealed = await self._sessions.kept_successor(family.id, of=token_hash(refresh_token))
        if sealed is None:
            return None
        log.info("refresh response repeated", session_id=str(family.id))
        return unseal(sealed, predecessor=refresh_token)

    async def _succeed(self, family: LogInSession, refresh_token: str, client: Client) -> str:
        used = token_hash(refresh_token)
        now = datetime.now(UTC)
        expires_at = self._limits.expiry(now, logged_in_at=family.created_at)
        successor = await self._new_token(family.id, expires_at)
        await self._sessions.mark_used(used)
        sealed = seal(successor, predecessor=refresh_token)
        await self._sessions.continue_with(
            family.id, of=used, sealed=sealed, client=client, expires_at=expires_at
        )
        return successor

    async def _new_token(self, session_id: UUID, expires_at: datetime) -> str:
        refresh_token = new_token()
        await self._sessions.add_token(
            session_id=session_id, token_hash=token_hash(refresh_token), expires_at=expires_at
        )
        return refresh_token

    def _issued(self, session: LogInSession, account: Account, refresh_token: str) -> IssuedTokens:
        """Return the tokens of a session: `auth_time` and `amr` stay those of the log-in."""
        grant = SessionGrant(
            session_id=session.id,
            authenticated_at=session.created_at,
            methods=tuple(session.methods),
        )
        scopes = scopes_of(account.roles)
        access_token = self._signer.sign(
            subject=account.id, grant=grant, roles=account.roles, scopes=scopes
        )
        return IssuedTokens(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_in=int(self._signer.lifetime.total_seconds()),
            scope=" ".join(sorted(scopes)),
        )


def _owner(session: LogInSession, client: Client) -> Actor:
    """Return the user of a session as the actor: they hold one of its tokens."""
    return Actor(
        kind=ActorKind.USER,
        user_id=session.user_id,
        session_id=session.id,
        methods=frozenset(session.methods),
        authenticated_at=session.created_at,
        address=client.address,
        request_id=client.request_id,
    )
