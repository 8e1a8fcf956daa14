"""The errors of log-ins."""

from chassis.errors import TooManyRequests, Unauthenticated


class InvalidCredentials(Unauthenticated):
    """The address or the password is wrong.

    Which of the two is wrong stays unsaid.
    """


class TotpRequired(Unauthenticated):
    """The account needs a code of its authenticator app, too.

    The password was right. A recovery code does as well.
    """


class InvalidTotp(Unauthenticated):
    """The code is wrong, or was used before."""


class TooManyWrongCodes(TooManyRequests):
    """Too many codes for this account were wrong.

    Recovery codes are accepted all the same.
    """
