"""What a route declares about Idempotency-Keys, and the errors.

``chassis.http.idempotency`` stores the keys. It imports SQLAlchemy, this module does not.
"""

from enum import Enum

from chassis.errors import Conflict, Invalid, Malformed

_PRIMARY_KEY = "pk_idempotency_keys"
_UNIQUE_VIOLATION = "23505"


class Idempotent(Enum):
    """Whether a route accepts an Idempotency-Key, or rejects a request without one."""

    OPTIONAL = "optional"
    REQUIRED = "required"


class IdempotencyKeyMissing(Malformed):
    """This request needs an Idempotency-Key.

    Without one, a client could not repeat it safely.
    """


class IdempotencyInFlight(Conflict):
    """A request with this Idempotency-Key is being worked on.

    The first request with the key has no response yet.
    """

    retry_after = 1


IN_FLIGHT = (
    "A request with this Idempotency-Key is being processed. Wait for its response, or repeat this "
    "request in a moment."
)


def key_stored_meanwhile(error: Exception) -> IdempotencyInFlight | None:
    """Return the error to respond with if another request stored the key first, or None.

    The key's lock excludes that, unless the two processes compute it differently, as two releases
    may. Nothing of this request was committed then.
    """
    # By the driver's attributes: a process without a database does not import the driver.
    violated = getattr(error, "sqlstate", None) == _UNIQUE_VIOLATION
    if violated and getattr(error, "constraint_name", None) == _PRIMARY_KEY:
        return IdempotencyInFlight(IN_FLIGHT)
    return None


class IdempotencyKeyReused(Invalid):
    """This Idempotency-Key was used for another request."""


_ERRORS = (IdempotencyInFlight, IdempotencyKeyReused)

ERRORS = {
    Idempotent.OPTIONAL: _ERRORS,
    Idempotent.REQUIRED: (*_ERRORS, IdempotencyKeyMissing),
}
"""The errors that a route may raise because it is idempotent, for its documentation."""
