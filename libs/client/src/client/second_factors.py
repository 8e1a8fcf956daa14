"""Codes of an authenticator app, and passkeys.

Their changes need a log-in of the last five minutes. An older one gets the problem
`reauthentication-needed`, against which only a new log-in helps.
"""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import Field

from client.calls import MERGE_PATCH, Calls
from client.shapes import Answer, Page
from client.tokens import Token, Tokens


class TotpState(Answer):
    """Whether log-ins with the password need a code."""

    enabled: bool
    recovery_codes_left: int


class TotpSetup(Answer):
    """The secret for the authenticator app; `uri` is for a QR code."""

    secret: str = Field(repr=False)
    uri: str = Field(repr=False)


class RecoveryCodes(Answer):
    """Codes that log in once each if the app is lost. They can't be read again."""

    recovery_codes: tuple[str, ...] = Field(repr=False)


class Passkey(Answer):
    """A passkey; `backed_up` if its provider keeps a copy of it."""

    id: UUID
    name: str
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None


class PasskeyOptions(Answer):
    """What a page passes to the browser as `publicKey`, in WebAuthn's JSON."""

    public_key: dict[str, Any]


class Authenticator(Protocol):
    """Makes and uses passkeys, as `navigator.credentials` of a browser does.

    Options and credentials are WebAuthn's JSON (level 3, §5.1.8 to §5.1.10).
    """

    async def create(self, options: dict[str, Any], /) -> dict[str, Any]:
        """Return a new credential."""

    async def get(self, options: dict[str, Any], /) -> dict[str, Any]:
        """Return the proof of a credential."""


class SecondFactorCalls(Calls):
    """The calls that concern TOTP and passkeys."""

    async def get_totp(self, token: Token) -> TotpState:
        """Return whether TOTP is on, and how many recovery codes are left."""
        return await self.call(TotpState, "GET", "/auth/totp", token=token)

    async def set_up_totp(self, token: Token) -> TotpSetup:
        """Return a new secret for the user's app. TOTP is on once a code confirms it."""
        return await self.call(TotpSetup, "POST", "/auth/totp", token=token)

    async def confirm_totp(self, token: Token, code: str) -> RecoveryCodes:
        """Turn TOTP on with a code of the app, and return the recovery codes."""
        body = {"code": code}
        return await self.call(RecoveryCodes, "POST", "/auth/totp/confirm", token=token, json=body)

    async def replace_recovery_codes(self, token: Token) -> RecoveryCodes:
        """Return new recovery codes. The old ones are of no use any more."""
        return await self.call(RecoveryCodes, "POST", "/auth/totp/recovery-codes", token=token)

    async def remove_totp(self, token: Token) -> None:
        """Turn TOTP off, and delete its secret and recovery codes."""
        await self.send("DELETE", "/auth/totp", token=token)

    async def add_passkey(
        self, token: Token, *, name: str, authenticator: Authenticator
    ) -> Passkey:
        """Let the authenticator make a passkey, add it to the account, and return it."""
        path = "/auth/passkeys/registration-options"
        options = await self.call(PasskeyOptions, "POST", path, token=token)
        body = {"name": name, "credential": await authenticator.create(options.public_key)}
        return await self.call(Passkey, "POST", "/auth/passkeys", token=token, json=body)

    async def list_passkeys(self, token: Token) -> Page[Passkey]:
        """Return all passkeys of the account, on one page."""
        return await self.call(Page[Passkey], "GET", "/auth/passkeys", token=token)

    async def rename_passkey(self, token: Token, passkey_id: UUID, name: str) -> Passkey:
        """Give a passkey another name, and return it."""
        path = f"/auth/passkeys/{passkey_id}"
        body = {"name": name}
        return await self.call(Passkey, "PATCH", path, token=token, headers=MERGE_PATCH, json=body)

    async def remove_passkey(self, token: Token, passkey_id: UUID) -> None:
        """Remove a passkey; it can't log in any more."""
        await self.send("DELETE", f"/auth/passkeys/{passkey_id}", token=token)

    async def login_with_passkey(self, authenticator: Authenticator) -> Tokens:
        """Open a log-in session with a passkey, and return its tokens."""
        options = await self.call(PasskeyOptions, "POST", "/auth/passkeys/log-in-options")
        body = {"credential": await authenticator.get(options.public_key)}
        return await self.call(Tokens, "POST", "/auth/passkeys/log-in", json=body)
