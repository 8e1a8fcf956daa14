"""The errors of one-time tokens."""

from chassis.errors import Invalid


class InvalidOneTimeToken(Invalid):
    """The token is not valid.

    It is unknown, was used, has expired, or its account has changed. Which of these stays unsaid.
    """
