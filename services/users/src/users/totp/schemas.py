"""The request and response bodies of TOTP."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from chassis.http import Shape
from users.totp.models import CODE_DIGITS, normalised

_MAX_TYPED = 64


def _digits(typed: str) -> str:
    code = normalised(typed)
    if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
        message = f"must have {CODE_DIGITS} digits"
        raise ValueError(message)
    return code


Code = Annotated[
    str,
    StringConstraints(max_length=_MAX_TYPED),
    AfterValidator(_digits),
    Field(repr=False),
    WithJsonSchema({"type": "string", "pattern": f"^[0-9]{{{CODE_DIGITS}}}$"}, mode="validation"),
]
"""A code of an authenticator app. Spaces are left out."""


class TotpSetup(Shape):
    """A secret for an authenticator app, which a code must confirm."""

    secret: str = Field(repr=False, description="In Base32, to be typed into the app.")
    uri: str = Field(
        repr=False, description="An `otpauth:` URI with the secret, to be shown as a QR code."
    )


class TotpConfirmation(Shape):
    """What confirms a setup."""

    code: Code


class RecoveryCodes(Shape):
    """Codes that each replace one code of the app, once. They are shown only now."""

    recovery_codes: list[str] = Field(repr=False)


class ExportedTotp(Shape):
    """Authenticator app of an account, in the export of a person's data; its secret stays here."""

    created_at: datetime
    pending_until: datetime | None = Field(
        description="When the setup expires; null: it was confirmed."
    )


class TotpState(Shape):
    """Whether a log-in with a password needs a code."""

    enabled: bool
    recovery_codes_left: int = Field(description="Recovery codes that were not used yet.")
