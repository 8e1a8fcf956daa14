"""HTTP routes of passkeys."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Request, Response

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.errors import LogInRequired, ReauthenticationNeeded
from chassis.http import Page, Router, acting_in_person, problems
from chassis.http.caching import NO_STORE
from chassis.http.host_cookie import CrossOrigin
from chassis.wire_names import MERGE_PATCH
from users.accounts.errors import AccountNotFound, EmailNotVerified
from users.passkeys.errors import (
    InvalidPasskey,
    PasskeyExists,
    PasskeyNotFound,
    PasskeyRefused,
    TooManyPasskeys,
)
from users.passkeys.schemas import (
    NewPasskey,
    PasskeyLogIn,
    PasskeyName,
    PasskeyOptions,
    PasskeyView,
)
from users.passkeys.wiring import Ceremony, Passkeys
from users.sessions.routes import client_of, shown
from users.sessions.schemas import Tokens
from users.sessions.wiring import RefreshCookie

router = Router(prefix="/api/v1/auth/passkeys", tags=["passkeys"])

Owner = Annotated[Actor, acting_in_person("profile")]
Reader = Annotated[Principal, require_scope("profile")]
_MERGE_PATCH = Body(media_type=MERGE_PATCH)


@router.post(
    "/registration-options",
    operation_id="createPasskeyOptions",
    responses=problems(
        LogInRequired, ReauthenticationNeeded, AccountNotFound, EmailNotVerified, TooManyPasskeys
    ),
)
async def registration_options(
    owner: Owner, passkeys: Passkeys, response: Response
) -> PasskeyOptions:
    """Get the options for a new passkey (WebAuthn level 3, `navigator.credentials.create()`).

    Their challenge can be used once, within 5 minutes. The log-in must be at most 5 minutes ago.
    """
    response.headers["Cache-Control"] = NO_STORE
    return PasskeyOptions(public_key=await passkeys.registration_options(owner))


@router.post(
    "",
    status_code=201,
    operation_id="addPasskey",
    responses=problems(
        LogInRequired,
        ReauthenticationNeeded,
        AccountNotFound,
        EmailNotVerified,
        PasskeyExists,
        PasskeyRefused,
        TooManyPasskeys,
    ),
)
async def add(body: NewPasskey, owner: Owner, ceremony: Ceremony) -> PasskeyView:
    """Add the passkey that the browser made with the options.

    From now on, it logs its user in without a password and without a code.
    """
    added = await ceremony.add(owner, body.credential.json_form(), name=body.name)
    return PasskeyView.model_validate(added)


@router.get("", operation_id="listPasskeys")
async def list_passkeys(reader: Reader, passkeys: Passkeys) -> Page[PasskeyView]:
    """List one's passkeys, the oldest first. There is one page."""
    found = await passkeys.of_user(reader.user_id)
    items = [PasskeyView.model_validate(passkey) for passkey in found]
    return Page[PasskeyView](items=items, next_cursor=None)


@router.patch(
    "/{passkey_id}",
    operation_id="renamePasskey",
    responses=problems(LogInRequired, PasskeyNotFound),
)
async def rename(
    passkey_id: UUID,
    patch: Annotated[PasskeyName, _MERGE_PATCH],
    reader: Reader,
    _: Owner,
    passkeys: Passkeys,
) -> PasskeyView:
    """Rename a passkey, by JSON Merge Patch (RFC 7396)."""
    name = patch.name if "name" in patch.model_fields_set else None
    renamed = await passkeys.rename(passkey_id, user_id=reader.user_id, name=name)
    return PasskeyView.model_validate(renamed)


@router.delete(
    "/{passkey_id}",
    status_code=204,
    operation_id="removePasskey",
    responses=problems(LogInRequired, ReauthenticationNeeded, AccountNotFound, PasskeyNotFound),
)
async def remove(passkey_id: UUID, owner: Owner, passkeys: Passkeys) -> None:
    """Remove a passkey. The log-in must be at most 5 minutes ago."""
    await passkeys.remove(passkey_id, owner)


@router.post("/log-in-options", operation_id="createPasskeyLogInOptions")
async def log_in_options(passkeys: Passkeys, response: Response) -> PasskeyOptions:
    """Get the options for a log-in (WebAuthn level 3, `navigator.credentials.get()`).

    Their challenge can be used once, within 5 minutes.
    """
    response.headers["Cache-Control"] = NO_STORE
    return PasskeyOptions(public_key=await passkeys.log_in_options())


@router.post(
    "/log-in", operation_id="logInWithPasskey", responses=problems(InvalidPasskey, CrossOrigin)
)
async def log_in(
    body: PasskeyLogIn,
    ceremony: Ceremony,
    cookie: RefreshCookie,
    request: Request,
    response: Response,
) -> Tokens:
    """Open a session with a passkey, which counts as two factors."""
    if body.browser:
        cookie.check_origin(request)
    tokens = await ceremony.log_in(body.credential.json_form(), client=client_of(request))
    return shown(tokens, response, cookie if body.browser else None)
