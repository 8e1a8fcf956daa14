"""The use cases of passkeys: add, list, rename and remove them, and log in with one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import structlog

from chassis.actor import Actor
from chassis.audit import AuditLog
from chassis.auth.recency import RECENT
from users.accounts.repository import AccountRepository
from users.passkeys.errors import (
    InvalidPasskey,
    PasskeyExists,
    PasskeyNotFound,
    PasskeyRefused,
    TooManyPasskeys,
)
from users.passkeys.models import (
    CHALLENGE_FOR,
    MAX_PASSKEYS,
    Passkey,
    RefusedCredentialError,
    RelyingParty,
    bytes_in,
    challenge_in,
    known_transports,
    methods_of,
    new_challenge,
)
from users.passkeys.repository import ChallengeRepository, PasskeyRepository
from users.security_events.service import Factor, FactorChange, SecurityEvents
from users.sessions.models import Client
from users.sessions.service import IssuedTokens, SessionService
from users.throttling.service import RefusalRecords

log = structlog.get_logger(__name__)

_REFUSED = "The passkey is not accepted. Log in in another way, or try again with new options."


class PasskeyService:
    """The use cases on passkeys, within one transaction.

    Args:
        passkeys: the transaction's passkeys.
        challenges: the transaction's challenges.
        accounts: the transaction's accounts.
        sessions: the transaction's use cases of log-in sessions.
        audit: the transaction's audit log.
        events: publishes changes in the transaction.
        relying_party: the rules of WebAuthn.
        refusals: says which refused passkeys go on record.
    """

    def __init__(
        self,
        *,
        passkeys: PasskeyRepository,
        challenges: ChallengeRepository,
        accounts: AccountRepository,
        sessions: SessionService,
        audit: AuditLog,
        events: SecurityEvents,
        relying_party: RelyingParty,
        refusals: RefusalRecords,
    ) -> None:
        self._passkeys = passkeys
        self._challenges = challenges
        self._accounts = accounts
        self._sessions = sessions
        self._audit = audit
        self._events = events
        self._relying_party = relying_party
        self._refusals = refusals

    async def registration_options(self, owner: Actor) -> dict[str, Any]:
        """Return the options for a new passkey, with a challenge that can be used once.

        Raises:
            AccountNotFound: the account was deleted.
            EmailNotVerified: the account's address is not verified.
            ReauthenticationNeeded: the log-in is older than RECENT.
            TooManyPasskeys: the account has MAX_PASSKEYS.
        """
        account = await self._accounts.lock_verified_person(owner)
        known = await self._passkeys.of_user(account.id)
        _check_room(known)
        challenge = new_challenge()
        await self._challenges.add(challenge, user_id=account.id)
        return self._relying_party.registration_options(
            challenge=challenge,
            user_id=account.id,
            email=account.email,
            full_name=account.full_name,
            known=known,
        )

    async def log_in_options(self) -> dict[str, Any]:
        """Return the options for a log-in, with a challenge that can be used once."""
        challenge = new_challenge()
        await self._challenges.add(challenge, user_id=None)
        return self._relying_party.log_in_options(challenge=challenge)

    async def take(self, challenge: bytes, *, user_id: UUID | None) -> bool:
        """Use a challenge up, and return whether it was good."""
        return await self._challenges.take(challenge, user_id=user_id)

    async def add(
        self,
        owner: Actor,
        credential: Mapping[str, Any],
        *,
        challenge: bytes,
        name: str,
    ) -> Passkey:
        """Add a passkey to the owner's account, and return it. The challenge was used up.

        Raises:
            AccountNotFound: the account was deleted.
            EmailNotVerified: the account's address is not verified.
            ReauthenticationNeeded: the log-in is older than RECENT and CHALLENGE_FOR together.
            PasskeyExists: the credential is registered already.
            PasskeyRefused: the credential is not valid.
            TooManyPasskeys: the account has MAX_PASSKEYS.
        """
        # The account's lock keeps parallel requests from adding too many.
        account = await self._accounts.lock_verified_person(owner, within=RECENT + CHALLENGE_FOR)
        _check_room(await self._passkeys.of_user(account.id))
        try:
            new = self._relying_party.verify_registration(credential, challenge=challenge)
        except RefusedCredentialError as error:
            raise _refused(error) from error
        transports = known_transports(credential["response"].get("transports", ()))
        added = await self._passkeys.add(account.id, new, name=name, transports=transports)
        if added is None:
            message = "This passkey is registered already. Create another one."
            raise PasskeyExists(message)
        self._record("passkey.added", owner, account.id, added.id)
        await self._events.second_factor_changed(account, Factor.PASSKEY, FactorChange.ADDED)
        return added

    async def of_user(self, user_id: UUID) -> Sequence[Passkey]:
        """Return the passkeys of an account, the oldest first."""
        return await self._passkeys.of_user(user_id)

    async def rename(self, passkey_id: UUID, *, user_id: UUID, name: str | None) -> Passkey:
        """Rename a passkey of an account, and return it. None keeps the name.

        Raises:
            PasskeyNotFound: the account has no such passkey.
        """
        renamed = await self._passkeys.rename(passkey_id, user_id=user_id, name=name)
        if renamed is None:
            raise _not_found(passkey_id)
        return renamed

    async def remove(self, passkey_id: UUID, owner: Actor) -> None:
        """Remove a passkey of the owner's account.

        Raises:
            ReauthenticationNeeded: the log-in is older than RECENT.
            PasskeyNotFound: the account has no such passkey.
        """
        account = await self._accounts.lock_person(owner)
        if not await self._passkeys.delete(passkey_id, user_id=account.id):
            raise _not_found(passkey_id)
        self._record("passkey.removed", owner, account.id, passkey_id)
        await self._events.second_factor_changed(account, Factor.PASSKEY, FactorChange.REMOVED)

    async def log_in(
        self, credential: Mapping[str, Any], *, challenge: bytes, client: Client
    ) -> IssuedTokens:
        """Open a session of the passkey's account, and return its tokens.

        The account is locked before the passkey, in the same order as elsewhere.

        Raises:
            InvalidPasskey: the passkey is unknown, its signature is wrong, or its account is not
                active.
        """
        try:
            credential_id = bytes_in(credential["rawId"])
            owner = await self._passkeys.owner_of(credential_id)
            account = None if owner is None else await self._accounts.find(owner, lock=True)
            passkey = await self._passkeys.lock(credential_id)
            if account is None or not account.is_active or passkey is None:
                raise InvalidPasskey(_REFUSED)
            if bytes_in(credential["response"].get("userHandle", "")) != account.id.bytes:
                raise InvalidPasskey(_REFUSED)
            assertion = self._relying_party.verify_log_in(
                credential, challenge=challenge, passkey=passkey
            )
        except RefusedCredentialError as error:
            log.info("passkey refused", reason=str(error))
            raise InvalidPasskey(_REFUSED) from error
        await self._passkeys.mark_used(passkey, assertion)
        return await self._sessions.open(account, methods=methods_of(passkey), client=client)

    async def record_refusal(self, credential: Mapping[str, Any], *, client: Client) -> None:
        """Record that a passkey of an account was refused: for each account, once a minute.

        A passkey that no account has is not recorded: anyone can make one up.
        """
        try:
            owner = await self._passkeys.owner_of(bytes_in(credential["rawId"]))
        except RefusedCredentialError:
            return
        action = "passkey.refused"
        if owner is not None and await self._refusals.take(action, str(owner)):
            self._audit.append(action, actor=client.unidentified_actor(), subject=f"user:{owner}")

    def _record(self, action: str, owner: Actor, user_id: UUID, passkey_id: UUID) -> None:
        details = {"passkey_id": str(passkey_id)}
        self._audit.append(action, actor=owner, subject=f"user:{user_id}", details=details)


class PasskeyCeremony:
    """Ends what a browser began with options: the addition of a passkey, or a log-in.

    A separate transaction uses the challenge up, so that it stays used if the credential is
    refused (WebAuthn §13.4.3).

    Args:
        transaction: opens a transaction and returns its use cases.
    """

    def __init__(
        self, *, transaction: Callable[[], AbstractAsyncContextManager[PasskeyService]]
    ) -> None:
        self._transaction = transaction

    async def add(self, owner: Actor, credential: Mapping[str, Any], *, name: str) -> Passkey:
        """Add a passkey to the owner's account, and return it.

        Raises:
            PasskeyRefused: the credential is not valid, or its challenge is not.
        """
        try:
            challenge = challenge_in(credential)
        except RefusedCredentialError as error:
            raise _refused(error) from error
        async with self._transaction() as passkeys:
            good = await passkeys.take(challenge, user_id=owner.user_id)
        if owner.user_id is None or not good:
            message = "The challenge is unknown, used or expired. Get new options."
            raise PasskeyRefused(message)
        async with self._transaction() as passkeys:
            return await passkeys.add(owner, credential, challenge=challenge, name=name)

    async def log_in(self, credential: Mapping[str, Any], *, client: Client) -> IssuedTokens:
        """Open a session of the passkey's account, and return its tokens.

        Raises:
            InvalidPasskey: the passkey is not accepted, or its challenge is not.
        """
        try:
            return await self._log_in(credential, client=client)
        except InvalidPasskey:  # it rolled its transaction back
            async with self._transaction() as passkeys:
                await passkeys.record_refusal(credential, client=client)
            raise

    async def _log_in(self, credential: Mapping[str, Any], *, client: Client) -> IssuedTokens:
        try:
            challenge = challenge_in(credential)
        except RefusedCredentialError as error:
            raise InvalidPasskey(_REFUSED) from error
        async with self._transaction() as passkeys:
            good = await passkeys.take(challenge, user_id=None)
        if not good:
            raise InvalidPasskey(_REFUSED)
        async with self._transaction() as passkeys:
            return await passkeys.log_in(credential, challenge=challenge, client=client)


def _check_room(known: Sequence[Passkey]) -> None:
    if len(known) >= MAX_PASSKEYS:
        message = f"The account has {len(known)} passkeys, the most that it can have. Remove one."
        raise TooManyPasskeys(message)


def _not_found(passkey_id: UUID) -> PasskeyNotFound:
    return PasskeyNotFound(
        f"There is no passkey {passkey_id}. Take the id from the list of your passkeys."
    )


def _refused(error: RefusedCredentialError) -> PasskeyRefused:
    reason = str(error).removesuffix(".")
    return PasskeyRefused(
        f"The passkey can't be verified: {reason}. Get new options, and try again."
    )
