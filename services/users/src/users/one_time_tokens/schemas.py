"""The parts of request bodies that concern mailed tokens, and their shape in an export."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.http import Shape
from users.accounts.schemas import Email

_MAX_TOKEN = 512

MailToken = Annotated[
    str,
    StringConstraints(min_length=1, max_length=_MAX_TOKEN),
    Field(repr=False, description="The token of the mail."),
]
"""A one-time token as it came in a mail."""


class MailRecipient(Shape):
    """Whom to send a mail. The response is the same whether the address has an account or not."""

    email: Email


class MailAccepted(Shape):
    """The request was accepted. The text is the same for all addresses."""

    detail: str = Field(
        default="A mail is sent if the address has an account that needs it.",
        description="What happens now, for a person.",
    )


class ExportedOneTimeToken(Shape):
    """A mailed token that was not used yet, in the export of a person's data; it stays secret."""

    purpose: str = Field(description="`verify_email`, `change_email` or `reset_password`.")
    new_email: str | None = Field(
        description="The address that the account gets when the token is used; null: its own stays."
    )
    created_at: datetime
    expires_at: datetime
