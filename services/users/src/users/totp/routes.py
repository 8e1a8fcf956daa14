"""HTTP routes of TOTP."""

from typing import Annotated

from fastapi import Response

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.errors import LogInRequired, ReauthenticationNeeded
from chassis.http import Router, acting_in_person, problems
from chassis.http.caching import NO_STORE
from users.accounts.errors import AccountNotFound, EmailNotVerified
from users.totp.errors import (
    TotpAlreadyOn,
    TotpNotPending,
    TotpNotSetUp,
    TotpUnavailable,
    WrongTotpCode,
)
from users.totp.schemas import RecoveryCodes, TotpConfirmation, TotpSetup, TotpState
from users.totp.wiring import TotpDep

router = Router(prefix="/api/v1/auth/totp", tags=["totp"])

Owner = Annotated[Actor, acting_in_person("profile")]
Reader = Annotated[Principal, require_scope("profile")]


@router.post(
    "",
    status_code=201,
    operation_id="setUpTotp",
    responses=problems(
        LogInRequired,
        ReauthenticationNeeded,
        AccountNotFound,
        EmailNotVerified,
        TotpAlreadyOn,
        TotpUnavailable,
    ),
)
async def set_up(owner: Owner, totp: TotpDep, response: Response) -> TotpSetup:
    """Begin the setup of TOTP (RFC 6238): get a secret for an authenticator app.

    It takes effect when a code confirms it, within 15 minutes. It replaces a setup that was not
    confirmed. The log-in must be at most 5 minutes ago.
    """
    response.headers["Cache-Control"] = NO_STORE
    return TotpSetup.model_validate(await totp.begin(owner))


@router.post(
    "/confirm",
    operation_id="confirmTotp",
    responses=problems(
        LogInRequired,
        ReauthenticationNeeded,
        AccountNotFound,
        EmailNotVerified,
        TotpNotPending,
        WrongTotpCode,
        TotpUnavailable,
    ),
)
async def confirm(
    body: TotpConfirmation, owner: Owner, totp: TotpDep, response: Response
) -> RecoveryCodes:
    """Turn TOTP on with a first code, and get the recovery codes.

    From now on, a log-in with a password needs a code too. Each recovery code replaces one code,
    once. The recovery codes can't be read again.
    """
    response.headers["Cache-Control"] = NO_STORE
    return RecoveryCodes(recovery_codes=await totp.confirm(owner, body.code))


@router.post(
    "/recovery-codes",
    operation_id="replaceRecoveryCodes",
    responses=problems(LogInRequired, ReauthenticationNeeded, AccountNotFound, TotpNotSetUp),
)
async def replace_recovery_codes(owner: Owner, totp: TotpDep, response: Response) -> RecoveryCodes:
    """Get new recovery codes. All earlier ones end. The log-in must be at most 5 minutes ago.

    They can't be read again.
    """
    response.headers["Cache-Control"] = NO_STORE
    return RecoveryCodes(recovery_codes=await totp.replace_recovery_codes(owner))


@router.get("", operation_id="readTotp")
async def read_state(reader: Reader, totp: TotpDep) -> TotpState:
    """Read whether TOTP is on, and how many recovery codes are left."""
    return TotpState.model_validate(await totp.status(reader.user_id))


@router.delete(
    "",
    status_code=204,
    operation_id="removeTotp",
    responses=problems(LogInRequired, ReauthenticationNeeded, AccountNotFound, TotpNotSetUp),
)
async def remove(owner: Owner, totp: TotpDep) -> None:
    """Remove TOTP with its recovery codes. The log-in must be at most 5 minutes ago."""
    await totp.remove(owner)
