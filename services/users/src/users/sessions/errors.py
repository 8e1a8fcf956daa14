"""The errors of log-in sessions."""

from chassis.errors import NotFound


class SessionNotFound(NotFound):
    """You have no such log-in session."""
