"""HTTP routes of passwords."""

from typing import Annotated

from fastapi import Request

from chassis.actor import Actor
from chassis.auth import Principal, require_scope
from chassis.auth.passwords import PasswordsBusy
from chassis.errors import LogInRequired
from chassis.http import Router, acting_in_person, problems
from chassis.http.origin import client_address, limit_key
from users.accounts.errors import AccountNotFound
from users.passwords.errors import WrongPassword
from users.passwords.schemas import PasswordReplacement
from users.passwords.wiring import PasswordChangeDep
from users.throttling.errors import TooManyFailedLogIns

router = Router(prefix="/api/v1/users/me/password", tags=["accounts"])


@router.put(
    "",
    status_code=204,
    operation_id="changePassword",
    responses=problems(
        AccountNotFound, LogInRequired, PasswordsBusy, TooManyFailedLogIns, WrongPassword
    ),
)
async def change_password(
    body: PasswordReplacement,
    owner: Annotated[Principal, require_scope("profile")],
    actor: Annotated[Actor, acting_in_person("profile")],
    use_case: PasswordChangeDep,
    request: Request,
) -> None:
    """Replace one's own password. All other log-in sessions end.

    Wrong passwords are counted together with the log-ins that fail.
    """
    await use_case.run(
        owner.user_id,
        current=body.current_password,
        new=body.new_password,
        address=limit_key(client_address(request)),
        by=actor,
    )
