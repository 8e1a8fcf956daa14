"""The request body of a log-in."""

from typing import Annotated

from pydantic import Field

from chassis.http import Shape
from users.accounts.schemas import Email
from users.passwords.schemas import TypedPassword
from users.sessions.schemas import InBrowser


class Credentials(Shape):
    """Who logs in."""

    email: Email
    password: TypedPassword
    browser: InBrowser = False
    totp: Annotated[str, Field(min_length=6, max_length=64)] | None = Field(
        default=None,
        description="If TOTP is on: a code of the authenticator app, or a recovery code.",
        repr=False,
    )
