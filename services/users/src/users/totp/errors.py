"""The errors of setting up TOTP."""

from chassis.errors import Conflict, Invalid, NotFound, Unavailable


class TotpAlreadyOn(Conflict):
    """TOTP is already on for this account."""


class TotpNotPending(Conflict):
    """There is no setup of TOTP to confirm.

    None was begun, it has expired, or it was confirmed already.
    """


class WrongTotpCode(Invalid):
    """The code does not fit the secret."""


class TotpNotSetUp(NotFound):
    """TOTP is not set up for this account."""


class TotpUnavailable(Unavailable):
    """Codes of authenticator apps can't be verified at present.

    The service has no key, or not the one that the account's secret is encrypted with.
    """
