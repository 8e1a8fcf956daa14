"""The values of Cache-Control (RFC 9111 §5.2.2) that responses have."""

NO_STORE = "no-store"
"""For secrets and errors: nobody keeps a copy."""

NO_CACHE = "no-cache"
"""For resources with a validator: a copy is used only after the server confirmed it by 304.

Without the field a cache may guess how long a copy is fresh (§4.2.2). Responses to requests with an
Authorization stay out of shared caches all the same (§3.5)."""


def public_for(seconds: int) -> str:
    """Return the value for what anybody may keep for so many seconds."""
    return f"public, max-age={seconds}"
