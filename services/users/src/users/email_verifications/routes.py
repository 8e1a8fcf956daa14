"""HTTP routes of e-mail verifications."""

from fastapi import Request

from chassis.errors import TooManyRequests
from chassis.http import OriginDep, Router, problems
from chassis.http.origin import client_address, limit_key
from users.accounts.errors import EmailTaken
from users.email_verifications.schemas import EmailConfirmation
from users.email_verifications.wiring import Confirmations, VerificationRequests
from users.one_time_tokens.errors import InvalidOneTimeToken
from users.one_time_tokens.schemas import MailAccepted, MailRecipient

router = Router(prefix="/api/v1/email-verifications", tags=["accounts"])


@router.post(
    "",
    status_code=202,
    operation_id="requestEmailVerification",
    responses=problems(TooManyRequests),
)
async def request_verification(
    body: MailRecipient, requests: VerificationRequests, request: Request
) -> MailAccepted:
    """Have a mail sent to verify an address.

    It is sent if the address has an account and is not verified. The response does not tell. A
    registration sends the first one.
    """
    await requests.request(body.email, address=limit_key(client_address(request)))
    return MailAccepted()


@router.post(
    "/confirm",
    status_code=204,
    operation_id="confirmEmail",
    responses=problems(InvalidOneTimeToken, EmailTaken),
)
async def confirm(
    body: EmailConfirmation, confirmations: Confirmations, origin: OriginDep, request: Request
) -> None:
    """Verify the account's address with the token of a mail, or change it to the new one.

    A token is valid once, for 24 hours.
    """
    await confirmations.confirm(
        body.token, origin=origin, address=limit_key(client_address(request))
    )
