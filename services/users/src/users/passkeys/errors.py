"""The errors of passkeys."""

from chassis.errors import Conflict, Invalid, NotFound, Unauthenticated


class PasskeyNotFound(NotFound):
    """There is no such passkey."""


class PasskeyExists(Conflict):
    """This passkey is registered already."""


class TooManyPasskeys(Conflict):
    """The account has as many passkeys as it can have."""


class PasskeyRefused(Invalid):
    """The new passkey can't be verified."""


class InvalidPasskey(Unauthenticated):
    """The passkey is not accepted.

    Whether it is unknown, wrong or of a deactivated account stays unsaid.
    """
