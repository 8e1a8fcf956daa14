"""The errors of announcements."""

from chassis.errors import Invalid, NotFound


class AnnouncementNotFound(NotFound):
    """There is no such announcement.

    Announcements are deleted 90 days after they were published.
    """


class AnnouncementExpired(Invalid):
    """The announcement would have expired before anybody could get it."""
