"""The errors of throttling."""

from chassis.errors import TooManyRequests


class TooManyFailedLogIns(TooManyRequests):
    """Too many log-ins to this e-mail address failed.

    The next one must wait, whether there is such an account or not.
    """
