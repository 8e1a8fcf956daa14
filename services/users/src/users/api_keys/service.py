"""Use cases of API keys: create, list and revoke them, and exchange them for access tokens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.actor import SYSTEM, Actor
from chassis.audit import AuditLog
from chassis.auth import ApiKeyGrant, TokenSigner
from chassis.auth.api_keys import new_api_key, visible_prefix
from chassis.auth.opaque import token_hash
from chassis.auth.recency import require_recent_log_in
from chassis.auth.revocation import MARGIN
from chassis.database import new_id
from chassis.errors import FieldError, Invalid, Unauthenticated
from chassis.messaging import Outbox
from chassis.paging import PageRequest, PageRows, TimePosition
from users.accounts.models import Account
from users.accounts.repository import AccountRepository
from users.api_keys.errors import ApiKeyNotFound, TooManyApiKeys
from users.api_keys.models import (
    LONGEST_LIFETIME,
    MAX_KEYS,
    USUAL_LIFETIME,
    ApiKey,
    entitled_scopes,
)
from users.api_keys.repository import ApiKeyRepository, RevokedKey
from users.security_events.service import SecurityEvents
from users.sessions.service import announce_ended

_REFUSED = (
    "The API key is unknown, has expired or was revoked, or its owner's account is not active. "
    "Create another key."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey:
    """A new key, and its only copy in clear text."""

    key: ApiKey
    secret: str = field(repr=False)


class ApiKeyRevoker:
    """Revokes API keys and publishes it, within one transaction. It needs no private key.

    Args:
        keys: the transaction's keys.
        accounts: the transaction's accounts.
        outbox: the transaction's outbox.
        audit: the transaction's audit log.
        token_lifetime: the lifetime of access tokens.
    """

    def __init__(
        self,
        *,
        keys: ApiKeyRepository,
        accounts: AccountRepository,
        outbox: Outbox,
        audit: AuditLog,
        token_lifetime: timedelta,
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._outbox = outbox
        self._audit = audit
        self._token_lifetime = token_lifetime

    async def revoke(self, key_id: UUID, *, user_id: UUID, by: Actor) -> None:
        """Revoke a key of an account. A key that is not valid stays as it is."""
        self._record(user_id, await self._keys.revoke(user_id, key_id=key_id), by=by)

    async def revoke_all(self, user_id: UUID) -> None:
        """Revoke all keys of an account. Its row must be locked, so that no key is created."""
        self._record(user_id, await self._keys.revoke_beyond(user_id, scopes=()), by=SYSTEM)

    async def revoke_unentitled(self, user_id: UUID) -> None:
        """Revoke the keys of an account with scopes that the account no longer has.

        If the account is missing or not active, these are all of its keys. The account's row must
        be locked, so that no key is created.
        """
        entitled = entitled_scopes(await self._accounts.find(user_id))
        self._record(user_id, await self._keys.revoke_beyond(user_id, scopes=entitled), by=SYSTEM)

    def _record(self, user_id: UUID, revoked: Sequence[RevokedKey], *, by: Actor) -> None:
        for key in revoked:
            self._audit.append(
                "api_key.revoked",
                actor=by,
                subject=f"user:{user_id}",
                details={"api_key_id": str(key.id)},
            )
        since = datetime.now(UTC) - self._token_lifetime - MARGIN
        recent = [key.id for key in revoked if key.last_used_at and key.last_used_at >= since]
        announce_ended(self._outbox, user_id, recent)


class ApiKeyService:
    """The use cases of a key's owner, within one transaction.

    Args:
        keys: the transaction's keys.
        accounts: the transaction's accounts.
        revoker: revokes keys in the transaction.
        events: publishes that a key was created, in the transaction.
        audit: the transaction's audit log.
    """

    def __init__(
        self,
        *,
        keys: ApiKeyRepository,
        accounts: AccountRepository,
        revoker: ApiKeyRevoker,
        events: SecurityEvents,
        audit: AuditLog,
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._revoker = revoker
        self._events = events
        self._audit = audit

    async def create(
        self,
        owner_id: UUID,
        *,
        name: str,
        scopes: Collection[str],
        granted: Collection[str],
        expires_at: datetime | None,
        by: Actor,
    ) -> CreatedApiKey:
        """Create a key of an account, and return it with its secret.

        The account's row is locked, so that neither a change of roles nor another creation happens
        between the checks and the insertion.

        Args:
            owner_id: the account.
            name: what the owner calls the key.
            scopes: the scopes of the key.
            granted: the scopes of the owner's access token, beyond which no key may go.
            expires_at: when the key expires; None means after ``USUAL_LIFETIME``.
            by: who acts.

        Raises:
            AccountNotFound: the account was deleted.
            EmailNotVerified: the account's address is not verified.
            ReauthenticationNeeded: the owner logged in too long ago.
            Invalid: the owner does not have one of the scopes, or the time is out of bounds.
            TooManyApiKeys: the account has ``MAX_KEYS`` valid keys.
        """
        now = datetime.now(UTC)
        require_recent_log_in(by)  # before the request's other rules
        expires_at = now + USUAL_LIFETIME if expires_at is None else expires_at
        _check_expiry(expires_at, now)
        account = await self._accounts.lock_verified_person(by)
        _check_scopes(scopes, entitled_scopes(account) & set(granted))
        if await self._keys.count_valid(owner_id) >= MAX_KEYS:
            message = (
                f"The account has {MAX_KEYS} valid API keys, the largest number that it may have. "
                "Revoke one first."
            )
            raise TooManyApiKeys(message)
        return await self._added(
            account, name=name, scopes=sorted(set(scopes)), expires_at=expires_at, by=by
        )

    async def _added(
        self, account: Account, *, name: str, scopes: list[str], expires_at: datetime, by: Actor
    ) -> CreatedApiKey:
        secret = new_api_key()
        new = ApiKey(
            id=new_id(),
            user_id=account.id,
            name=name,
            prefix=visible_prefix(secret),
            key_hash=token_hash(secret),
            scopes=scopes,
            expires_at=expires_at,
        )
        key = await self._keys.add(new)
        # Without the name: the log outlives an account, and its rows can't be erased.
        self._audit.append(
            "api_key.created",
            actor=by,
            subject=f"user:{account.id}",
            details={
                "api_key_id": str(key.id),
                "prefix": key.prefix,
                "scopes": scopes,
                "expires_at": expires_at.isoformat(),
            },
        )
        await self._events.api_key_created(account, key.id, expires_at=expires_at)
        return CreatedApiKey(key=key, secret=secret)

    async def get(self, key_id: UUID, *, owner_id: UUID) -> ApiKey:
        """Return a key of an account, or raise ApiKeyNotFound."""
        key = await self._keys.find(key_id, user_id=owner_id)
        if key is None:
            message = f"You have no API key {key_id}. Take the id from the list of your API keys."
            raise ApiKeyNotFound(message)
        return key

    async def page(
        self, owner_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[ApiKey, TimePosition]:
        """Return a page of an account's keys, newest first."""
        return await self._keys.page(owner_id, wanted)

    async def revoke(self, key_id: UUID, *, owner_id: UUID, by: Actor) -> None:
        """Revoke a key of an account. A key that has already ended stays as it is.

        Raises:
            ApiKeyNotFound: the account has no such key.
        """
        await self.get(key_id, owner_id=owner_id)
        await self._revoker.revoke(key_id, user_id=owner_id, by=by)


class ApiKeyExchange:
    """Exchanges API keys for access tokens, within one transaction.

    Args:
        keys: the transaction's keys.
        accounts: the transaction's accounts.
        signer: signs access tokens.
    """

    def __init__(
        self, *, keys: ApiKeyRepository, accounts: AccountRepository, signer: TokenSigner
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._signer = signer

    async def exchange(self, api_key: str) -> str:
        """Return an access token for a key, which expires no later than the key.

        Its scopes are those of the key that its owner has now.

        Raises:
            Unauthenticated: the key is not valid, or its owner is not active.
        """
        key = await self._keys.use(token_hash(api_key))
        if key is None:
            raise Unauthenticated(_REFUSED)
        account = await self._accounts.find(key.user_id)
        scopes = entitled_scopes(account) & set(key.scopes)
        if account is None or not scopes:
            raise Unauthenticated(_REFUSED)
        return self._signer.sign(
            subject=account.id,
            grant=ApiKeyGrant(api_key_id=key.id),
            roles=account.roles,
            scopes=scopes,
            not_after=key.expires_at,
        )


def _check_expiry(expires_at: datetime, now: datetime) -> None:
    if not now < expires_at <= now + LONGEST_LIFETIME:
        days = LONGEST_LIFETIME.days
        detail = f"must be later than now, and at most {days} days from now"
        message = (
            f"The API key can't expire at {expires_at.isoformat()}. Give a time in the next {days} "
            "days."
        )
        raise Invalid(message, errors=[FieldError(detail=detail, pointer="#/expires_at")])


def _check_scopes(scopes: Collection[str], allowed: Collection[str]) -> None:
    errors = [
        FieldError(
            detail="is not a scope that you and your access token have", pointer=f"#/scopes/{place}"
        )
        for place, scope in enumerate(scopes)
        if scope not in allowed
    ]
    if errors:
        message = (
            "An API key can have only scopes that its owner and this access token have. Choose "
            f"from: {' '.join(sorted(allowed)) or 'none'}."
        )
        raise Invalid(message, errors=errors)
