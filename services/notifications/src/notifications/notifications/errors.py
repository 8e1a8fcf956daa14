"""The errors of notifications."""

from chassis.errors import NotFound


class NotificationNotFound(NotFound):
    """You have no such notification.

    Or it is somebody else's: the caller can't tell which.
    """
