"""Changes that need a recent log-in, so that a stolen access token is not enough (RFC 9470)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.actor import Actor, ActorKind
from chassis.errors import LogInRequired, ReauthenticationNeeded

RECENT = timedelta(minutes=5)
"""How long ago a log-in may be for a change that a stolen access token must not be enough for."""


def require_recent_log_in(actor: Actor, *, within: timedelta = RECENT) -> UUID:
    """Return the user who acts and logged in at most `within` ago.

    A refresh of the tokens does not count as a log-in. An API key is no log-in, although each of
    its access tokens is new.

    Raises:
        LogInRequired: the actor is no user with a log-in session.
        ReauthenticationNeeded: the log-in is older.
    """
    if actor.kind is not ActorKind.USER or actor.user_id is None or actor.authenticated_at is None:
        message = (
            "This operation needs the access token of a log-in, and not of an API key. Log in, and "
            "send that access token."
        )
        raise LogInRequired(message)
    if datetime.now(UTC) - actor.authenticated_at > within:
        seconds = int(within.total_seconds())
        message = (
            f"The log-in of the access token is more than {seconds} s ago, and this operation "
            "needs a newer one. Log in, and send the request again with the new access token."
        )
        raise ReauthenticationNeeded(message, max_age=seconds)
    return actor.user_id
