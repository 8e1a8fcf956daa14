"""What can go wrong with sessions."""

from chassis.errors import Unauthenticated


class InvalidCredentials(Unauthenticated):
    """Address and password don't fit; which of the two is wrong stays unsaid."""

    name = "invalid-credentials"
    title = "The address or the password is wrong."
