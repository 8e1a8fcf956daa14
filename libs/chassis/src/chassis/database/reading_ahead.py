"""What a route and its unit share about reads ahead; without SQLAlchemy, for the gateway."""

READS_AHEAD = "chassis.reads_ahead"
"""The key of a request's scope that says whether its unit may read ahead.

Only who runs the request again after OutdatedReadError sets it."""


class OutdatedReadError(Exception):
    """A row was changed after ``Unit.fetch_ahead`` had read it; nothing was committed."""
