"""The request bodies of passwords."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from chassis.http import Shape
from users.accounts.models import MAX_PASSWORD, MAX_TYPED_PASSWORD, password_spellings
from users.accounts.schemas import Password


def _bounded(typed: str) -> str:
    if len(password_spellings(typed)[0]) > MAX_PASSWORD:
        message = f"must have at most {MAX_PASSWORD} characters"
        raise ValueError(message)
    return typed


TypedPassword = Annotated[
    str,
    StringConstraints(strip_whitespace=False, min_length=1, max_length=MAX_TYPED_PASSWORD),
    AfterValidator(_bounded),
    Field(repr=False),
    WithJsonSchema(
        {"type": "string", "format": "password", "minLength": 1, "maxLength": MAX_PASSWORD},
        mode="validation",
    ),
]
"""A password as typed at log-in. The rules for new passwords are not checked here."""


class PasswordReplacement(Shape):
    """The current password, and the new one."""

    current_password: TypedPassword
    new_password: Password
