"""What the users service reads at start; the worker needs the common settings only."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from chassis.wiring import ServiceSettings
from users.accounts.models import MAX_PASSWORD, MIN_PASSWORD, normalised_email


class UsersSettings(ServiceSettings):
    """Settings of the API process, the only holder of the private keys."""

    auth_signing_keys_file: Path = Field(
        description="The file with the private keys (a JWK set, RFC 7517); the first one signs."
    )
    refresh_token_lifetime: int = Field(
        default=30 * 24 * 3600,
        ge=3600,
        le=365 * 24 * 3600,
        description="Seconds that a refresh token may lie unused before its session ends.",
    )
    first_admin_email: Annotated[str, AfterValidator(normalised_email)] | None = Field(
        default=None, description="The address of the administrator made where there is none."
    )
    first_admin_password: SecretStr | None = Field(
        default=None,
        min_length=MIN_PASSWORD,
        max_length=MAX_PASSWORD,
        description="The password of that administrator.",
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.first_admin_email is None) != (self.first_admin_password is None):
            message = "FIRST_ADMIN_EMAIL and FIRST_ADMIN_PASSWORD go together: set both, or neither"
            raise ValueError(message)
        return self

    @property
    def refresh_lifetime(self) -> timedelta:
        """The lifetime of refresh tokens."""
        return timedelta(seconds=self.refresh_token_lifetime)
