"""What can't be had of notifications."""

from chassis.errors import NotFound


class NotificationNotFound(NotFound):
    """No such notification, or it is somebody else's: the caller can't tell which."""

    name = "notification-not-found"
    title = "You have no such notification."
