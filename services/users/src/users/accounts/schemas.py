"""The request and response bodies of accounts."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from chassis.http import Id, Name, PageQuery, Shape
from chassis.times import Moment
from users.accounts.models import (
    MAX_NEW_PASSWORD,
    MAX_TYPED_PASSWORD,
    MIN_NEW_PASSWORD,
    Role,
    checked_email,
    new_password,
)
from users.accounts.repository import AccountFilter

_MAX_EMAIL = 254  # RFC 5321 §4.5.3.1.3, without the angle brackets

Email = Annotated[
    str,
    Field(max_length=_MAX_EMAIL),
    AfterValidator(checked_email),
    WithJsonSchema(
        {"type": "string", "format": "email", "maxLength": _MAX_EMAIL}, mode="validation"
    ),
]
"""An e-mail address as it was typed. Addresses that differ only in case are the same."""

Password = Annotated[
    str,
    StringConstraints(strip_whitespace=False, max_length=MAX_TYPED_PASSWORD),
    AfterValidator(new_password),
    Field(repr=False),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "minLength": MIN_NEW_PASSWORD,
            "maxLength": MAX_NEW_PASSWORD,
            "description": "Lengths are in Unicode code points after normalisation (NFKC). Spaces "
            "count, also at the ends. Control, invisible and unassigned characters are refused "
            "(RFC 8265, OpaqueString), and so are the most common passwords and those made only of "
            "words of the account's name, its address and this system's name.",
        },
        mode="validation",
    ),
]
"""A newly chosen password, in its prepared form."""

RoleName = Annotated[Role, Field(strict=False)]
"""A role as a JSON string."""


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
    version: int = Field(
        description="Increases by one with each public change; it is also the ETag."
    )
    created_at: datetime
    updated_at: datetime


class ProfilePatch(Shape):
    """A JSON Merge Patch (RFC 7396) of one's own data: what is left out stays."""

    # A factory, so that the OpenAPI document shows no default: an omitted member changes nothing.
    full_name: Name = Field(default_factory=str, description="It can't be removed: null gets 422.")
    email: Email = Field(
        default_factory=str,
        description="The new address. The account gets it when the token of the mail to it is "
        "confirmed. Needs a log-in within 5 minutes. The present address ends such a change.",
    )


class AccountQuery(PageQuery):
    """Which accounts to list."""

    q: Annotated[
        str | None,
        Field(
            max_length=200,
            description="Only accounts with all these words in their name or e-mail address, or "
            "with words that begin so.",
        ),
    ] = None
    role: Annotated[Role | None, Field(description="Only accounts with this role.")] = None
    is_active: Annotated[
        bool | None,
        Field(description="`true`: only active accounts. `false`: only deactivated ones."),
    ] = None
    created_after: Annotated[
        Moment | None, Field(description="Only accounts registered later.")
    ] = None
    created_before: Annotated[
        Moment | None, Field(description="Only accounts registered earlier.")
    ] = None

    def filter(self) -> AccountFilter:
        """Return the filter that the use case accepts."""
        return AccountFilter(
            text=self.q,
            role=self.role,
            is_active=self.is_active,
            created_after=self.created_after,
            created_before=self.created_before,
        )


class AccountPatch(Shape):
    """A JSON Merge Patch (RFC 7396) of an account by an administrator: what is left out stays."""

    # A factory, so that the OpenAPI document shows no default: an omitted member changes nothing.
    is_active: Annotated[
        bool,
        Field(
            default_factory=bool,
            description="`false` deactivates the account: its log-in sessions and API keys end, "
            "and nobody can log in. `true` reactivates it.",
        ),
    ]
    roles: Annotated[
        list[RoleName],
        Field(
            default_factory=list,
            min_length=1,
            max_length=len(Role),
            description="All roles that the account has from now on.",
        ),
    ]
