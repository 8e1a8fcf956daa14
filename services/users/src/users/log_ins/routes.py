"""HTTP routes of log-ins."""

from fastapi import Request, Response

from chassis.auth.passwords import PasswordsBusy
from chassis.http import Router, problems
from chassis.http.host_cookie import CrossOrigin
from chassis.http.origin import client_address, limit_key
from users.log_ins.errors import (
    InvalidCredentials,
    InvalidTotp,
    TooManyWrongCodes,
    TotpRequired,
)
from users.log_ins.schemas import Credentials
from users.log_ins.wiring import LogInDep
from users.sessions.routes import client_of, shown
from users.sessions.schemas import Tokens
from users.sessions.wiring import RefreshCookie
from users.throttling.errors import TooManyFailedLogIns
from users.totp.errors import TotpUnavailable

router = Router(prefix="/api/v1/auth", tags=["sessions"])


@router.post(
    "/login",
    operation_id="logIn",
    responses=problems(
        InvalidCredentials,
        TotpRequired,
        InvalidTotp,
        TooManyFailedLogIns,
        TooManyWrongCodes,
        PasswordsBusy,
        TotpUnavailable,
        CrossOrigin,
    ),
)
async def log_in(
    body: Credentials,
    use_case: LogInDep,
    cookie: RefreshCookie,
    request: Request,
    response: Response,
) -> Tokens:
    """Open a session with address and password, and a code if TOTP is on for the account.

    Without the code, a right password gets 401 `totp-required`: repeat the request with `totp`.
    Log-ins that fail are counted for each e-mail address, whether it has an account or not.
    """
    if body.browser:
        cookie.check_origin(request)
    tokens = await use_case.run(
        email=body.email,
        password=body.password,
        totp=body.totp,
        address=limit_key(client_address(request)),
        client=client_of(request),
    )
    return shown(tokens, response, cookie if body.browser else None)
