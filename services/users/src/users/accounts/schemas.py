"""The shapes of accounts in HTTP."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from chassis.http import Id, Name, Shape
from users.accounts.models import MAX_PASSWORD, MIN_PASSWORD, Role, normalised_email

_MAX_EMAIL = 254  # RFC 5321 §4.5.3.1.3, without the angle brackets

Email = Annotated[
    str,
    Field(max_length=_MAX_EMAIL),
    AfterValidator(normalised_email),
    WithJsonSchema(
        {"type": "string", "format": "email", "maxLength": _MAX_EMAIL}, mode="validation"
    ),
]
"""An e-mail address; case makes no difference."""

Password = Annotated[
    str,
    StringConstraints(strip_whitespace=False, min_length=MIN_PASSWORD, max_length=MAX_PASSWORD),
    Field(repr=False, json_schema_extra={"format": "password"}),
]
"""A password: spaces at its ends count."""

RoleName = Annotated[Role, Field(strict=False)]
"""A role as JSON has it: a text."""


class Registration(Shape):
    """What a new customer gives."""

    email: Email
    password: Password
    full_name: Name


class User(Shape):
    """An account."""

    id: Id
    email: str
    full_name: str
    roles: list[RoleName]
    is_active: bool
    email_verified: bool
    version: int = Field(description="Rises by one with each public change; also the ETag.")
    created_at: datetime
    updated_at: datetime


class ProfilePatch(Shape):
    """A JSON Merge Patch (RFC 7396) of one's own data: what is left out stays."""

    # A factory, so that the document shows no default: a member that is left out has none.
    full_name: Name = Field(default_factory=str, description="Can't be removed: null is 422.")


class RolesPatch(Shape):
    """A JSON Merge Patch (RFC 7396) of an account by an administrator: what is left out stays."""

    roles: Annotated[
        list[RoleName],
        Field(
            default_factory=list,
            min_length=1,
            max_length=len(Role),
            description="All roles that the account has from now on.",
        ),
    ]
