"""HTTP routes of password resets."""

from chassis.auth.passwords import PasswordsBusy
from chassis.errors import TooManyRequests
from chassis.http import OriginDep, Router, problems
from chassis.http.origin import limit_key
from users.one_time_tokens.errors import InvalidOneTimeToken
from users.one_time_tokens.schemas import MailAccepted, MailRecipient
from users.password_resets.schemas import NewPassword
from users.password_resets.wiring import PasswordResetDep, ResetRequests

router = Router(prefix="/api/v1/password-resets", tags=["accounts"])


@router.post(
    "",
    status_code=202,
    operation_id="requestPasswordReset",
    responses=problems(TooManyRequests),
)
async def request_reset(
    body: MailRecipient, requests: ResetRequests, origin: OriginDep
) -> MailAccepted:
    """Have a mail sent with which a user chooses a new password.

    It is sent if the address has an account. The response does not tell.
    """
    await requests.request(body.email, origin=origin, address=limit_key(origin.address))
    return MailAccepted()


@router.post(
    "/confirm",
    status_code=204,
    operation_id="resetPassword",
    responses=problems(InvalidOneTimeToken, PasswordsBusy),
)
async def reset(body: NewPassword, use_case: PasswordResetDep, origin: OriginDep) -> None:
    """Choose a new password with the token of a mail.

    All log-in sessions and API keys of the account end. If its address was never verified, its
    passkeys and TOTP are removed as well: a stranger may have added them.

    A token is valid once, for 30 minutes. The response has no tokens: log in with the new password,
    and with the second factor if there is one.
    """
    await use_case.run(
        body.token,
        new_password=body.new_password,
        origin=origin,
        address=limit_key(origin.address),
    )
